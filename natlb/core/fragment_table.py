"""The datagrams of which pieces were seen: what became of the first, and what of each is here.

Pieces are not put together, they are followed (virtual reassembly): the first one has the ports
and is decided like a whole packet; the others have nothing but their datagram's name - source,
destination, identification, with IPv4 the protocol (RFC 791 section 3.2, RFC 8200 section 4.5) -
and go where the first went.

A record keeps its decision (`fate`) and a map of the datagram in blocks of eight octets: not here
yet, the beginning of a piece, or more of one. So an exact copy of a piece is told from one that
overlaps others (RFC 5722), in any order of arrival (RFC 815), and a complete datagram is known as
one: its record is given up at once, so that its identification can be used again.

Life of a record
    unused     created 0.            the first piece to arrive -> UNDECIDED
    UNDECIDED  later pieces only,    the first one's outcome -> decided; its time is up -> unused
               held.
    decided    an outcome.           all is here, or its time is up -> unused
    overlap    drop(fragment-overlap), for all further pieces, until its time is up

Laws
    Bounded: sets of at most eight records. Where a set is full, its oldest record gives way.
    A set is chosen by a keyed hash, so nobody can aim at others' datagrams.
    A record with held pieces is not UNUSED, and they are of this datagram (holding.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from natlb.core.hashing import datagram_hash
from natlb.core.holding import Holding, make_holding
from natlb.core.layout import KEY0, KEY1
from natlb.jit import i64, kernel
from natlb.wire.frame import FRAME
from natlb.wire.parsed import PARSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.state import Core
    from natlb.wire.parsed import Parsed

Datagram: TypeAlias = Any  # one record of DATAGRAM

DATAGRAM = np.dtype(
    [
        ("used", np.int64),
        ("source0", np.int64),
        ("source1", np.int64),
        ("source2", np.int64),
        ("source3", np.int64),
        ("destination0", np.int64),
        ("destination1", np.int64),
        ("destination2", np.int64),
        ("destination3", np.int64),
        ("identification", np.int64),
        ("context", np.int64),  # the side it came in by, and IPv4's protocol
        ("created", np.int64),  # when its first piece to arrive did, in milliseconds
        ("fate", np.int64),  # an outcome, or UNDECIDED
        ("found", np.int64),  # FORWARD: the flow and direction
        ("generation", np.int64),  # ... and which of its row's flows
        ("new_identification", np.int64),  # ... as the first piece left with it
        ("way", np.int64),  # PASS: the way out
        ("end", np.int64),  # octets in all, or UNKNOWN
        ("reach", np.int64),  # the end of the farthest piece
        ("blocks", np.int64),  # that are here
        ("first_held", np.int64),  # in the order of arrival; 0: none
        ("last_held", np.int64),
    ]
)

UNDECIDED = 0
UNKNOWN = 0
SET = 8  # records that a datagram may be at
BLOCK_SHIFT = 3  # octets of a block: offsets count in eights
BLOCKS = 8192  # of the largest datagram
MARKS = 4  # blocks that an octet of the map says something of, two bits each
ABSENT = 0
BEGINS = 1  # here, and a piece begins with it
GOES_ON = 2

FRESH_PIECE = 0
COPY = 1
OVERLAP = 2


class Fragments(NamedTuple):
    """The records, the map of each, the pieces held, and room for a packet's frame and `Parsed`."""

    records: NDArray[np.void]  # DATAGRAM
    maps: NDArray[np.uint8]  # [record, octet]
    holding: Holding
    frame: NDArray[np.void]  # FRAME[1]
    parsed: NDArray[np.void]  # PARSED[1]


def make_fragments(datagrams: int) -> Fragments:
    """Return the memory to follow so many datagrams at once: 2.2 KiB each, where it is used."""
    ways = max(1, min(SET, datagrams))  # a sample of the types has room for none
    records = datagrams // ways * ways
    return Fragments(
        records=np.zeros(records, DATAGRAM),
        maps=np.zeros((records, BLOCKS // MARKS), np.uint8),
        holding=make_holding(),
        frame=np.zeros(1, FRAME),
        parsed=np.zeros(1, PARSED),
    )


@kernel
def context_of(parsed: Parsed, way: int) -> int:
    """Return what else tells datagrams apart; IPv6 leaves the protocol out (RFC 8200, 4.5)."""
    return way << 8 | (i64(parsed["protocol"]) if parsed["version"] == 4 else 0)


@kernel
def first_of_set(core: Core, parsed: Parsed, context: int) -> int:
    """Return where the set of a piece's datagram begins."""
    meta, records = core.flows.meta, core.fragments.records
    identification = i64(parsed["identification"])
    hashed = datagram_hash(meta[KEY0], meta[KEY1], parsed, identification, context)
    ways = min(SET, records.size)
    return (hashed % (records.size // ways)) * ways


@kernel
def find_datagram(core: Core, start: int, parsed: Parsed, context: int) -> int:
    """Return the record of a piece's datagram in the set at `start`, or -1."""
    records = core.fragments.records
    for at in range(start, start + min(SET, records.size)):
        if _is_of(records[at], parsed, context):
            return at
    return -1


@kernel
def _is_of(record: Datagram, parsed: Parsed, context: int) -> bool:
    """Return whether a piece is of this record's datagram."""
    return (
        bool(record["used"])
        and record["identification"] == parsed["identification"]
        and record["context"] == context
        and record["source3"] == parsed["source3"]
        and record["destination3"] == parsed["destination3"]
        and record["source2"] == parsed["source2"]
        and record["destination2"] == parsed["destination2"]
        and record["source1"] == parsed["source1"]
        and record["destination1"] == parsed["destination1"]
        and record["source0"] == parsed["source0"]
        and record["destination0"] == parsed["destination0"]
    )


@kernel
def oldest_of_set(core: Core, start: int) -> int:
    """Return the record that gives way in the set at `start`: an unused one, or the oldest."""
    records = core.fragments.records
    oldest = start
    for at in range(start, start + min(SET, records.size)):
        if not records[at]["used"]:
            return at
        if records[at]["created"] < records[oldest]["created"]:
            oldest = at
    return oldest


@kernel
def begin_datagram(core: Core, at: int, parsed: Parsed, context: int, now: int) -> None:
    """Let an unused record be a piece's datagram's, of which nothing is here yet."""
    record = core.fragments.records[at]
    _clear_map(core, at)
    record["used"] = 1
    record["source0"] = parsed["source0"]
    record["source1"] = parsed["source1"]
    record["source2"] = parsed["source2"]
    record["source3"] = parsed["source3"]
    record["destination0"] = parsed["destination0"]
    record["destination1"] = parsed["destination1"]
    record["destination2"] = parsed["destination2"]
    record["destination3"] = parsed["destination3"]
    record["identification"] = parsed["identification"]
    record["context"] = context
    record["created"] = now
    record["fate"] = UNDECIDED
    record["end"] = UNKNOWN
    record["reach"] = 0
    record["blocks"] = 0
    record["first_held"] = 0
    record["last_held"] = 0


@kernel
def _clear_map(core: Core, at: int) -> None:
    """Empty a record's map, as far as its last datagram reached."""
    marked = (i64(core.fragments.records[at]["reach"]) >> BLOCK_SHIFT) // MARKS + 1
    for octet in range(min(marked, BLOCKS // MARKS)):
        core.fragments.maps[at, octet] = 0


@kernel
def judge_piece(core: Core, at: int, parsed: Parsed) -> int:
    """Return whether a piece is a fresh one of its datagram, the COPY of one, or an OVERLAP.

    An overlap is also what contradicts where the datagram ends: two last pieces, or data behind.
    """
    record = core.fragments.records[at]
    offset = i64(parsed["offset"])
    end = offset + i64(parsed["octets"])
    known = i64(record["end"])
    if known == UNKNOWN:
        if not parsed["more"] and end < record["reach"]:
            return OVERLAP
    elif end > known or (end == known) == (parsed["more"] != 0):
        return OVERLAP
    first, behind = offset >> BLOCK_SHIFT, end + 7 >> BLOCK_SHIFT
    here = _count_here(core, at, first, behind)
    if here == 0:
        return FRESH_PIECE
    is_new_end = known == UNKNOWN and not parsed["more"]
    if here < behind - first or is_new_end or not _is_one_piece(core, at, first, behind):
        return OVERLAP
    return COPY


@kernel
def note_piece(core: Core, at: int, parsed: Parsed) -> None:
    """Mark a fresh piece as here."""
    record = core.fragments.records[at]
    offset = i64(parsed["offset"])
    end = offset + i64(parsed["octets"])
    first, behind = offset >> BLOCK_SHIFT, end + 7 >> BLOCK_SHIFT
    _mark(core, at, first, BEGINS)
    for block in range(first + 1, behind):
        _mark(core, at, block, GOES_ON)
    record["blocks"] += behind - first
    record["reach"] = max(i64(record["reach"]), end)
    if not parsed["more"]:
        record["end"] = end


@kernel
def is_complete(record: Datagram) -> bool:
    """Return whether all of a datagram is here."""
    end = i64(record["end"])
    return end != UNKNOWN and i64(record["blocks"]) == end + 7 >> BLOCK_SHIFT


@kernel
def _mark_of(core: Core, at: int, block: int) -> int:
    """Return what a record's map says of a block."""
    return i64(core.fragments.maps[at, block // MARKS]) >> 2 * (block % MARKS) & 3


@kernel
def _mark(core: Core, at: int, block: int, mark: int) -> None:
    """Write a block's mark, which was ABSENT."""
    octet = i64(core.fragments.maps[at, block // MARKS])
    core.fragments.maps[at, block // MARKS] = octet | mark << 2 * (block % MARKS)


@kernel
def _count_here(core: Core, at: int, first: int, behind: int) -> int:
    """Return how many of a range of blocks are here."""
    here = 0
    for block in range(first, behind):
        if _mark_of(core, at, block) != ABSENT:
            here += 1
    return here


@kernel
def _is_one_piece(core: Core, at: int, first: int, behind: int) -> bool:
    """Return whether one piece covers just these blocks, all of which are here."""
    if _mark_of(core, at, first) != BEGINS:
        return False
    for block in range(first + 1, behind):
        if _mark_of(core, at, block) != GOES_ON:
            return False
    return behind >= BLOCKS or _mark_of(core, at, behind) != GOES_ON
