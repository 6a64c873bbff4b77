"""The one door: a packet's octets are judged here, once, and what is learnt is kept in `Parsed`.

After `parse()` has accepted a packet, every offset in `Parsed` lies inside it, so the rewrites
check nothing again. Writing to a length field, a version or a data offset revokes that.

Read RFC 791 section 3.1, RFC 8200 sections 3 and 4, RFC 9293 section 3.1 and RFC 1812 section
5.2.2 before working on this file and those it calls: `network`, `addresses`, `transport`,
`offload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel
from natlb.wire.addresses import judge_addresses
from natlb.wire.network import parse_network
from natlb.wire.offload import judge_offload
from natlb.wire.parsed import FRAGMENTED, LATER_FRAGMENT
from natlb.wire.reasons import ACCEPTED
from natlb.wire.transport import judge_fragment, judge_udp_checksum, parse_transport

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed


@kernel
def parse(packet: Octets, frame: Frame, parsed: Parsed) -> None:
    """Fill `parsed` from a packet and its offload form; `parsed["refusal"]` says if it stands."""
    parsed["segments"] = 1
    parsed["wire_bytes"] = packet.size
    parsed["refusal"] = _parse_packet(packet, frame, parsed)


@kernel
def _parse_packet(packet: Octets, frame: Frame, parsed: Parsed) -> int:
    """Return ACCEPTED or the reason to refuse; each step runs only when the one before accepted."""
    refusal = parse_network(packet, parsed)
    if refusal != ACCEPTED:
        return refusal
    parsed["wire_bytes"] = parsed["end"]
    refusal = judge_addresses(parsed)
    if refusal == ACCEPTED and parsed["kind"] & FRAGMENTED:
        refusal = judge_fragment(frame, parsed)
    if refusal != ACCEPTED or parsed["kind"] & LATER_FRAGMENT:
        return refusal
    refusal = parse_transport(packet, parsed)
    if refusal != ACCEPTED:
        return refusal
    refusal = judge_offload(frame, parsed)
    if refusal != ACCEPTED:
        return refusal
    return judge_udp_checksum(packet, frame, parsed)
