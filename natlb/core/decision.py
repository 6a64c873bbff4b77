"""What becomes of one whole packet: its flow's, or a stranger's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.arrival import arrive
from natlb.core.datagrams import let_go
from natlb.core.events import is_unanswered
from natlb.core.flow_table import (
    NOTHING,
    ORIGINAL,
    FlowTable,
    direction_of,
    holds,
    lookup,
    row_of,
)
from natlb.core.layout import (
    ANSWERED,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    EXPIRED,
    HALF_REPLY,
    MARK_DATAGRAMS,
)
from natlb.core.lifetime import end_flow, has_expired, watch
from natlb.core.tables import backend_lanes
from natlb.core.tracking import is_opener
from natlb.core.translate import translate
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import TCP
from natlb.wire.parsed import UNTRANSLATABLE
from natlb.wire.rewrite import source_lanes

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed


@kernel
def decide(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Return the outcome of a packet that is no fragment, with what it put out in the batch."""
    found = _find_again(core.flows, core.batch.parsed[i])
    if found != NOTHING and not _is_over(core, i, found, now):
        return translate(core, i, packet, found, now, hops)
    return arrive(core, i, packet, now, hops, pick)


@rare_kernel
def decide_apart(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Do `decide()` where speed matters less than the size of the code."""
    return decide(core, i, packet, now, hops, pick)


@kernel
def _find_again(flows: FlowTable, parsed: Parsed) -> int:
    """Return the flow as of now: the first pass's candidate if it is the one, or what there is."""
    protocol = i64(parsed["protocol"])
    if parsed["found"] != NOTHING and holds(flows, parsed["found"], parsed, protocol):
        return i64(parsed["found"])
    return lookup(flows, parsed, protocol, parsed["hash"])


@kernel
def _is_over(core: Core, i: int, found: int, now: int) -> bool:
    """End the flow that a packet belongs to if it has run out, or if the packet begins it anew."""
    number = row_of(found)
    row = core.flows.rows[number]
    if has_expired(core, row, now):
        end_flow(core, number, EXPIRED)
        return True
    state = i64(row["state"])
    if ESTABLISHED <= state <= HALF_REPLY or direction_of(found) != ORIGINAL:
        return False
    if not _may_begin(core, i, row):
        return False
    if _begins_anew(core, i, row):
        end_flow(core, number, CLOSED)
        return True
    if is_unanswered(state):
        watch(core, number, now)
    return bool(i64(row["marks"]) & MARK_DATAGRAMS) and let_go(core, number)


@kernel
def _may_begin(core: Core, i: int, row: Any) -> bool:
    """Return whether a client's packet comes by its own side, and is one that can be translated."""
    if core.batch.parsed[i]["kind"] & UNTRANSLATABLE:
        return False
    return bool(core.batch.frames[i]["way"] == i64(row["reply"]["way"]))


@kernel
def _begins_anew(core: Core, i: int, row: Any) -> bool:
    """Return whether a client's packet has to be given a backend again.

    A SYN on a closing flow is a client's who uses its port again. One of an unanswered flow, and
    any datagram, leaves a backend that is down or gone; established TCP never does.
    """
    if i64(row["protocol"]) != TCP:
        return not _lives(core, row)
    if not is_opener(core.batch.parsed[i]["tcp_flags"]):
        return False
    state = i64(row["state"])
    return state == CLOSING or (state <= ANSWERED and not _lives(core, row))


@kernel
def _lives(core: Core, row: Any) -> bool:
    """Return whether a flow's backend is configured, where the flow reaches it, and not down.

    A number outlives a change of address: the backend of that name is elsewhere then.
    """
    backend, reply = core.tables.backends[i64(row["backend"])], row["reply"]
    if not backend["lives"]:
        return False
    port = i64(backend["port"]) or i64(row["original"]["destination_port"])
    return i64(reply["source_port"]) == port and source_lanes(reply) == backend_lanes(backend)
