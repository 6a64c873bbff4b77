"""A packet of a known flow: judged, followed, counted, rewritten from the other key, sent on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.amending import amend
from natlb.core.batch import emit
from natlb.core.crossing import cross, refuse_untranslatable
from natlb.core.cutting import send_in_pieces
from natlb.core.direct import stray
from natlb.core.flow_table import direction_of, half, row_of
from natlb.core.layout import ACTION_NAT, ACTION_XLAT
from natlb.core.progress import account_packet, advance
from natlb.core.refusal import answer_too_big, answer_ttl_expired
from natlb.core.state import TTL_DIRECT, TTL_OWN, Core
from natlb.core.verdict import FORWARD
from natlb.jit import i64, kernel
from natlb.wire.offload import largest_segment
from natlb.wire.parsed import UNTRANSLATABLE
from natlb.wire.rewrite import decrease_ttl, rewrite

if TYPE_CHECKING:
    from natlb.wire.octets import Octets


@kernel
def translate(  # noqa: PLR0911 - a return for each way that it may not go on
    core: Core, i: int, packet: Octets, found: int, now: int, hops: int
) -> int:
    """Return the outcome of a packet that belongs to a flow, rewritten and put out if it may go on.

    Nothing of the flow changes for a packet that is refused.
    """
    batch = core.batch
    frame, parsed = batch.frames[i], batch.parsed[i]
    row = core.flows.rows[row_of(found)]
    direction = direction_of(found)
    this, other = half(row, direction), half(row, 1 - direction)
    if frame["way"] != i64(other["way"]):
        return stray(core, i, row, now)
    actions = i64(row["actions"])
    if parsed["kind"] & UNTRANSLATABLE:
        return refuse_untranslatable(core, i, packet, actions)
    if is_ttl_spent(parsed["ttl"], hops):
        return answer_ttl_expired(core, i, packet)
    if actions & ACTION_XLAT:
        return cross(core, i, packet, found, now, hops)
    mtu = i64(core.tables.ways[i64(this["way"])]["mtu"])
    is_too_big = largest_segment(frame, parsed) > mtu
    if is_too_big and parsed["dont_fragment"]:
        return answer_too_big(core, i, packet, mtu)
    advance(core, row, packet, parsed, direction, now)
    account_packet(core, row, parsed, direction)
    deltas = i64(this["address_delta"]), i64(this["transport_delta"])
    rewrite(packet, frame, parsed, other, deltas[0], deltas[1])
    if hops == TTL_OWN:
        decrease_ttl(packet, i64(parsed["version"]))
    if actions != ACTION_NAT:
        amend(core, i, packet, row)
    frame["length"] = parsed["end"]
    if is_too_big:
        return send_in_pieces(core, i, i64(this["way"]))
    emit(batch, frame, i64(this["way"]))
    return FORWARD


@kernel
def is_ttl_spent(ttl: int, hops: int) -> bool:
    """Return whether a packet has no hop left to go on: by route the kernel takes one more."""
    return ttl < 1 if hops == TTL_DIRECT else ttl <= 1
