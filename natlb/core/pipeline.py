"""A batch's way through natlb:  parse → look up → track (new flow: pick) → rewrite → output.

Two passes. The first parses and hashes every packet and asks for the memory that it will be found
by, so that the cache misses of a large table overlap; the second decides and rewrites, one packet
after the other. Only there are keys compared, since an earlier packet may make or end the flow of a
later.

An exception here is a bug of ours, and must not stop forwarding: the batch's numbers say how far
it came, `give_up_packet()` drops that one packet as `internal`, and the batch goes on.

Laws
    A packet of a known flow leaves translated or not at all.
    A packet to a VIP is never passed to the host.
    TTL and size are judged before anything is rewritten, so an error quotes what the sender sent.
    A fragment goes the way of its datagram's first one (`fragments.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import (
    COUNT_IN,
    FOUND_SO_FAR,
    NOW,
    OUTPUT,
    PARSED_SO_FAR,
    SETTLED,
    SOUGHT_SO_FAR,
    TRACKED_SO_FAR,
)
from natlb.core.counters import account_verdict
from natlb.core.decision import decide
from natlb.core.flow_table import (
    NOTHING,
    first_bucket,
    first_tagged,
    hash_key,
    prefetch_row,
    row_of,
    second_bucket,
)
from natlb.core.fragments import follow_fragment
from natlb.core.layout import FREE_HEAD, FRESH
from natlb.core.verdict import drop
from natlb.jit import entry, i64, kernel, prefetch
from natlb.wire.parse import parse
from natlb.wire.parsed import FRAGMENTED
from natlb.wire.reasons import ACCEPTED, INTERNAL

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed


@entry
def process_batch(core: Core, now: int, hops: int, pick: Pick) -> int:
    """Take the batch from where it stands to its end; return how many output frames there are.

    `now` is milliseconds since the table's epoch and never goes back, `hops` one of TTL_*.
    Work is bounded by the batch. May be called again after an exception and `give_up_packet()`.
    """
    return turn_batch(core, now, hops, pick)


@kernel
def turn_batch(core: Core, now: int, hops: int, pick: Pick) -> int:
    """Do `process_batch()` as a part of a larger entry."""
    batch = core.batch
    batch.numbers[NOW] = now
    _parse_all(core)
    while batch.numbers[TRACKED_SO_FAR] < batch.numbers[COUNT_IN]:
        i = batch.numbers[TRACKED_SO_FAR]
        frame = batch.frames[i]
        packet = batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
        _conclude(core, i, _handle(core, i, packet, now, hops, pick))
    return i64(batch.numbers[OUTPUT])


@entry
def give_up_packet(core: Core) -> None:
    """Drop, as `internal`, the packet whose handling raised; the batch can go on behind it."""
    numbers = core.batch.numbers
    for stage in (PARSED_SO_FAR, FOUND_SO_FAR, SOUGHT_SO_FAR):
        if numbers[stage] < numbers[COUNT_IN]:
            parsed = core.batch.parsed[numbers[stage]]
            parsed["refusal"] = INTERNAL
            parsed["found"] = NOTHING
            numbers[stage] += 1
            return
    numbers[OUTPUT] = numbers[SETTLED]
    _conclude(core, numbers[TRACKED_SO_FAR], drop(INTERNAL))


@kernel
def _parse_all(core: Core) -> None:
    """First pass: parse and hash all, then ask for the memory that each will need.

    Nothing here waits for what it asks for: in a large table each line is a cache miss, and those
    of a whole batch are under way together.
    """
    numbers = core.batch.numbers
    while numbers[PARSED_SO_FAR] < numbers[COUNT_IN]:
        _parse_one(core, numbers[PARSED_SO_FAR])
        numbers[PARSED_SO_FAR] += 1
    missing = 0
    while numbers[FOUND_SO_FAR] < numbers[COUNT_IN]:
        missing += _look_first(core, core.batch.parsed[numbers[FOUND_SO_FAR]])
        numbers[FOUND_SO_FAR] += 1
    if missing == 0:
        numbers[SOUGHT_SO_FAR] = numbers[COUNT_IN]
    newcomers = 0
    while numbers[SOUGHT_SO_FAR] < numbers[COUNT_IN]:
        newcomers += _look_second(core, core.batch.parsed[numbers[SOUGHT_SO_FAR]], newcomers)
        numbers[SOUGHT_SO_FAR] += 1


@kernel
def _parse_one(core: Core, i: int) -> None:
    """Parse and hash a packet, and ask for its first index bucket."""
    frame = core.batch.frames[i]
    parsed = core.batch.parsed[i]
    packet = core.batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
    parse(packet, frame, parsed)
    parsed["found"] = NOTHING
    if parsed["refusal"] == ACCEPTED:
        hashed = hash_key(core.flows, parsed, i64(parsed["protocol"]))
        parsed["hash"] = hashed
        prefetch(core.flows.buckets, first_bucket(core.flows, hashed), 0)


@kernel
def _look_first(core: Core, parsed: Parsed) -> int:
    """Ask for the row that a packet's first bucket leads to, or else for its second bucket.

    Return 1 in that case, and 0 in any other.
    """
    if parsed["refusal"] != ACCEPTED:
        return 0
    hashed = i64(parsed["hash"])
    parsed["found"] = first_tagged(core.flows, first_bucket(core.flows, hashed), hashed)
    if parsed["found"] != NOTHING:
        prefetch_row(core.flows, row_of(parsed["found"]))
        return 0
    prefetch(core.flows.buckets, second_bucket(core.flows, hashed), 0)
    return 1


@kernel
def _look_second(core: Core, parsed: Parsed, newcomers: int) -> int:
    """Ask for the row that a packet's second bucket leads to, or else for one that it may be given.

    Return 1 in that case, in which it is the next of the batch's newcomers, and 0 in any other.
    """
    if parsed["refusal"] != ACCEPTED or parsed["found"] != NOTHING:
        return 0
    hashed = i64(parsed["hash"])
    parsed["found"] = first_tagged(core.flows, second_bucket(core.flows, hashed), hashed)
    if parsed["found"] != NOTHING:
        prefetch_row(core.flows, row_of(parsed["found"]))
        return 0
    head = i64(core.flows.meta[FREE_HEAD])  # it leads to the next, which `insert()` asks for
    fresh = i64(core.flows.meta[FRESH]) + newcomers
    prefetch_row(core.flows, fresh if head == NOTHING else head)
    return 1


@kernel
def _handle(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Second pass, one packet: return its outcome, with what it put out in the batch."""
    parsed = core.batch.parsed[i]
    if parsed["refusal"] != ACCEPTED:
        return drop(parsed["refusal"])
    if parsed["kind"] & FRAGMENTED:
        return follow_fragment(core, i, packet, now, hops, pick)
    return decide(core, i, packet, now, hops, pick)


@kernel
def _conclude(core: Core, i: int, outcome: int) -> None:
    """Count a packet's fate and what it put out, and move on."""
    batch = core.batch
    put_out = batch.numbers[OUTPUT] - batch.numbers[SETTLED]
    batch.outcomes[i] = outcome
    batch.numbers[TRACKED_SO_FAR] = i + 1
    batch.numbers[SETTLED] = batch.numbers[OUTPUT]
    account_verdict(core.counters, batch.parsed[i], outcome, put_out)
