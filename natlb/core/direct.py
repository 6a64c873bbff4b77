"""What natlb passes on untranslated, and conversations with a backend that are remembered for it.

A client may talk to a backend directly, by the port that it also uses through a VIP: to the
backend both are one conversation, so its answers to both would be one stream. Of a direct
conversation natlb sees what the backend sends. Where that comes from an endpoint which a service
sends to, a row in state DIRECT keeps the tuple, and a flow gets another backend or a source of
natlb's own. TCP begins one with a SYN, an answered one included; any other segment without a row
is late traffic of a flow that has ended, and would show the client a private address: the backend
is told by a reset, as a client is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import emit
from natlb.core.flow_table import NOTHING, hash_key, insert, lookup, row_of
from natlb.core.layout import (
    BACKEND_ENDPOINT,
    DIRECT,
    DIRECT_ROWS,
    MARK_DOUBTED,
    MARK_ENDED,
    PRIVATE,
    PUBLIC,
    ROWS,
)
from natlb.core.lifetime import WORD, begin_life
from natlb.core.one_key import forget_direct, keep_direct
from natlb.core.refusal import refuse
from natlb.core.tables import find_endpoint
from natlb.core.verdict import PASS, drop
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import FIN, RST, SYN, TCP
from natlb.wire.reasons import MARTIAN, OUT_OF_STATE
from natlb.wire.rewrite import source_lanes

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable
    from natlb.core.state import Core
    from natlb.wire.parsed import Parsed

NO_WAY = 255  # the side that the other direction comes in by: none, so each packet is a stray
SHARE = 4  # a quarter of the rows at the most: a scan of the backends must not fill the table


@rare_kernel
def stray(core: Core, i: int, row: Any, now: int) -> int:
    """Return the outcome of a packet that came in by another side than its flow's packets do.

    A direct conversation's row has no such side, so its packets all come here.
    """
    frame = core.batch.frames[i]
    if i64(row["state"]) != DIRECT or frame["way"] == PUBLIC:
        return drop(MARTIAN)
    row["seen"] = now & WORD
    row["marks"] = _marks_after(i64(row["marks"]), core.batch.parsed[i])
    emit(core.batch, frame, PUBLIC)
    return PASS


@rare_kernel
def pass_on(core: Core, i: int, now: int) -> int:
    """Send a packet of no service on by the other side, untouched."""
    frame, parsed = core.batch.frames[i], core.batch.parsed[i]
    protocol = i64(parsed["protocol"])
    at = find_endpoint(core.tables, source_lanes(parsed), i64(parsed["source_port"]), protocol)
    if at >= 0 and i64(core.tables.endpoints[at]["kind"]) == BACKEND_ENDPOINT:
        if protocol == TCP and parsed["tcp_flags"] & SYN == 0:
            start, end = frame["start"], frame["start"] + frame["length"]
            return refuse(core, i, core.batch.slots[frame["slot"], start:end], OUT_OF_STATE)
        _remember(core, i, now)
    emit(core.batch, frame, PRIVATE if frame["way"] == PUBLIC else PUBLIC)
    return PASS


@rare_kernel
def give_way(flows: FlowTable, number: int) -> bool:
    """Forget the direct conversation that holds a new row's reply key; return whether one did.

    Not an open connection, which would be cut. Datagrams and half a handshake may as well be the
    last words of a flow that ended, and its client must not be kept out by them.
    """
    reply, protocol = flows.rows[number]["reply"], i64(flows.rows[number]["protocol"])
    found = lookup(flows, reply, protocol, hash_key(flows, reply, protocol))
    holder = flows.rows[row_of(found)]
    if i64(holder["state"]) != DIRECT or i64(holder["marks"]) & MARK_DOUBTED == 0:
        return False
    forget_direct(flows, row_of(found))
    return True


@kernel
def _remember(core: Core, i: int, now: int) -> None:
    """Keep the tuple of a packet's conversation from flows, where there is a row for it."""
    flows, parsed = core.flows, core.batch.parsed[i]
    if flows.meta[DIRECT_ROWS] >= max(1, flows.meta[ROWS] // SHARE):
        return
    number = insert(flows, parsed, parsed["protocol"], parsed["hash"])
    if number == NOTHING:
        return
    row = flows.rows[number]
    begin_life(row, now)
    row["service"] = 0  # nobody's: services come and go, and 0 is always a row of the timeouts
    row["backend"] = 0
    row["marks"] = _marks_after(0, parsed)
    row["original"]["way"] = PUBLIC
    row["reply"]["way"] = NO_WAY
    keep_direct(flows, number)


@kernel
def _marks_after(marks: int, parsed: Parsed) -> int:
    """Return a direct conversation's marks after a packet: its short timer runs, or its long one.

    The long one is for an open connection alone: cut, it would never be let through again.
    """
    if parsed["protocol"] != TCP or parsed["tcp_flags"] & SYN:
        return MARK_DOUBTED
    if parsed["tcp_flags"] & (FIN | RST):
        return MARK_DOUBTED | MARK_ENDED
    return marks if marks & MARK_ENDED else 0


@rare_kernel
def pass_back(core: Core, i: int) -> int:
    """Give the host what was sent to an address that it shares with natlb and is not a service's.

    It goes back to where it came from, untouched, and the host takes it in from there.
    """
    frame = core.batch.frames[i]
    emit(core.batch, frame, frame["way"])
    return PASS
