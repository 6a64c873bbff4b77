"""A packet of a known flow: judged, followed, counted, rewritten from the other key, sent on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import emit
from natlb.core.counters import account_no_longer_opening, account_original, account_reply
from natlb.core.flow_table import ORIGINAL, direction_of, half, row_of
from natlb.core.layout import OPENING
from natlb.core.refusal import answer_too_big, answer_ttl_expired
from natlb.core.state import TTL_DIRECT, TTL_OWN, Core
from natlb.core.tracking import follow_sequence, next_state
from natlb.core.verdict import FORWARD, drop
from natlb.jit import i64, kernel
from natlb.wire.fields import RST, TCP
from natlb.wire.frame import GSO_NONE, Frame
from natlb.wire.parsed import PLAIN, Parsed
from natlb.wire.reasons import MARTIAN, UNSUPPORTED
from natlb.wire.rewrite import decrease_ttl, rewrite

if TYPE_CHECKING:
    from natlb.wire.octets import Octets

WORD = 0xFFFFFFFF


@kernel
def translate(core: Core, i: int, packet: Octets, found: int, now: int, hops: int) -> int:
    """Return the outcome of a packet that belongs to a flow, rewritten and put out if it may go on.

    Nothing of the flow changes for a packet that is refused.
    """
    batch = core.batch
    frame, parsed = batch.frames[i], batch.parsed[i]
    row = core.flows.rows[row_of(found)]
    direction = direction_of(found)
    this, other = half(row, direction), half(row, 1 - direction)
    if frame["way"] != i64(other["way"]):
        return drop(MARTIAN)
    if parsed["kind"] != PLAIN:
        return drop(UNSUPPORTED)
    if is_ttl_spent(parsed["ttl"], hops):
        return answer_ttl_expired(core, i, packet)
    mtu = core.tables.ways[i64(this["way"])]["mtu"]
    if largest_segment(frame, parsed) > mtu and parsed["dont_fragment"]:
        return answer_too_big(core, i, packet, mtu)
    _follow(core, row, packet, parsed, direction)
    _account(core, row, parsed, direction)
    row["seen"] = now & WORD
    deltas = i64(this["address_delta"]), i64(this["transport_delta"])
    rewrite(packet, frame, parsed, other, deltas[0], deltas[1])
    if hops == TTL_OWN:
        decrease_ttl(packet, i64(parsed["version"]))
    frame["length"] = parsed["end"]
    emit(batch, frame, i64(this["way"]))
    return FORWARD


@kernel
def is_ttl_spent(ttl: int, hops: int) -> bool:
    """Return whether a packet has no hop left to go on: by route the kernel takes one more."""
    return ttl < 1 if hops == TTL_DIRECT else ttl <= 1


@kernel
def largest_segment(frame: Frame, parsed: Parsed) -> int:
    """Return the largest packet that will be on the wire: of a super-packet, a full segment."""
    if frame["gso_type"] == GSO_NONE:
        return i64(parsed["end"])
    return min(i64(parsed["end"]), i64(parsed["payload"] + frame["gso_size"]))


@kernel
def _follow(core: Core, row: Any, packet: Octets, parsed: Parsed, direction: int) -> None:
    """Advance the flow's state by this packet."""
    protocol, flags = i64(parsed["protocol"]), i64(parsed["tcp_flags"])
    if protocol == TCP and not flags & RST:
        follow_sequence(half(row, direction), packet, parsed)
    old = i64(row["state"])
    new = next_state(row, flags, protocol, direction)
    if new == old:
        return
    row["state"] = new
    if old == OPENING:
        account_no_longer_opening(core.counters, row)


@kernel
def _account(core: Core, row: Any, parsed: Parsed, direction: int) -> None:
    """Count the packet for its flow, its backend and its service."""
    this = half(row, direction)
    this["packets"] += parsed["segments"]
    this["bytes"] += parsed["wire_bytes"]
    if direction == ORIGINAL:
        account_original(core.counters, row, parsed["segments"], parsed["wire_bytes"])
    else:
        account_reply(core.counters, row, parsed["segments"], parsed["wire_bytes"])
