"""What a packet that goes on changes in its flow: state, timer, counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.affinity import prove
from natlb.core.batch import MICROS
from natlb.core.counters import (
    account_closing,
    account_no_longer_opening,
    account_original,
    account_reply,
)
from natlb.core.events import tell
from natlb.core.flow_table import ORIGINAL, half, hash_key, lookup, row_of
from natlb.core.handshake import note_handshake
from natlb.core.layout import ANSWERED, CLOSING, MARK_UNCONFIRMED, OPENING, REFUSED, REPLIED
from natlb.core.lifetime import age
from natlb.core.pressure import leave_unconfirmed
from natlb.core.tracking import UNSOUND, follow_segment, is_confirmed, next_datagram_state
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import TCP

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed

WORD = 0xFFFFFFFF


@kernel
def advance(core: Core, row: Any, packet: Octets, parsed: Parsed, direction: int, now: int) -> None:
    """Advance the flow's state by this packet, and its timer where the packet is a sound one."""
    old = i64(row["state"])
    if i64(parsed["protocol"]) != TCP:
        new = next_datagram_state(old, direction)
    else:
        new = follow_segment(row, packet, parsed, direction)
    if new == UNSOUND:
        return
    row["seen"] = now & WORD
    if new == old:
        return
    row["state"] = new
    if new == ANSWERED or new == REPLIED:  # the backend's first word
        note_handshake(core.counters, row, core.batch.numbers[MICROS], now)
    if old <= ANSWERED and new > ANSWERED:
        account_no_longer_opening(core.counters, row)
    if new == CLOSING:
        account_closing(core.counters, row)
        if old == OPENING and direction != ORIGINAL:
            _tell_refused(core, row, now)
    if i64(row["marks"]) & MARK_UNCONFIRMED and is_confirmed(new):
        leave_unconfirmed(core.flows, row)
        if core.tables.services[i64(row["service"])]["affinity_ms"]:
            prove(core, row, now)


@rare_kernel
def _tell_refused(core: Core, row: Any, now: int) -> None:
    """Tell control that a backend has answered a SYN by a reset.

    Which row it is, is looked up here, so that no packet has to hand it on.
    """
    flows, reply, protocol = core.flows, row["reply"], i64(row["protocol"])
    number = row_of(lookup(flows, reply, protocol, hash_key(flows, reply, protocol)))
    tell(core, number, REFUSED, age(row, now), now)


@kernel
def account_packet(core: Core, row: Any, parsed: Parsed, direction: int) -> None:
    """Count the packet for its flow, its backend and its service."""
    this = half(row, direction)
    this["packets"] += parsed["segments"]
    this["bytes"] += parsed["wire_bytes"]
    if direction == ORIGINAL:
        account_original(core.counters, row, parsed["segments"], parsed["wire_bytes"])
    else:
        account_reply(core.counters, row, parsed["segments"], parsed["wire_bytes"])
