"""A flow between IPv6 and IPv4: each packet gets a header of the other version (RFC 7915).

The flow is one row as any other. Its keys are of different versions, and the change of its sums
was summed over v4-mapped addresses, so a transport checksum costs what it costs without. What is
different is size: a packet is 20 octets larger in IPv6, 28 as a fragment. Who sends too much is
told the MTU as it is in its own version; what it may not make smaller is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.amending import lower_mss
from natlb.core.batch import emit
from natlb.core.cutting import send_in_pieces
from natlb.core.flow_table import direction_of, half, row_of
from natlb.core.identification import next_identification
from natlb.core.layout import ACTION_MSS, ACTION_XLAT
from natlb.core.progress import account_packet, advance
from natlb.core.refusal import answer_error, answer_too_big
from natlb.core.state import TTL_OWN, Core
from natlb.core.verdict import FORWARD, drop
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import (
    ICMP6_PARAMETER_PROBLEM,
    IP4_HEADER,
    IP4_MINIMUM_MTU,
    IP6_FRAGMENT_HEADER,
    IP6_MINIMUM_MTU,
    SYN,
    TCP,
)
from natlb.wire.frame import GSO_NONE
from natlb.wire.offload import largest_segment
from natlb.wire.parsed import FRAGMENTED, LATER_FRAGMENT
from natlb.wire.reasons import BAD_CHECKSUM, UNSUPPORTED
from natlb.wire.rewrite import rewrite_transport
from natlb.wire.xlat import (
    GREW,
    compute_udp_checksum,
    find_unfinished_route,
    fragment_word,
    has_no_checksum,
    put_header4,
    put_header6,
)

if TYPE_CHECKING:
    from natlb.wire.octets import Octets

LARGEST = 0xFFFF  # octets that an IPv4 packet can have


@rare_kernel
def cross(core: Core, i: int, packet: Octets, found: int, now: int, hops: int) -> int:
    """Return the outcome of a packet of a flow whose ends speak different versions.

    It came in by its own side, has a hop left, and nothing that forbids translation.
    """
    if core.batch.parsed[i]["version"] == 6:
        return _cross_to4(core, i, packet, found, now, hops)
    return _cross_to6(core, i, packet, found, now, hops)


@rare_kernel
def cross_fragment(core: Core, i: int, packet: Octets, found: int, now: int, hops: int) -> int:
    """Return the outcome of a piece of a datagram of such a flow, wherever in it the piece is."""
    return cross(core, i, packet, found, now, hops)


@rare_kernel
def refuse_untranslatable(core: Core, i: int, packet: Octets, actions: int) -> int:
    """Return the outcome of a packet of a flow that may not be translated, whatever its flow.

    Between versions its sender is told where the route says so (RFC 7915 section 5.1).
    """
    if actions & ACTION_XLAT and core.batch.parsed[i]["version"] == 6:
        route = find_unfinished_route(packet, core.batch.parsed[i])
        if route:
            return answer_error(core, i, packet, UNSUPPORTED, ICMP6_PARAMETER_PROBLEM, 0, route)
    return drop(UNSUPPORTED)


@kernel
def _cross_to4(core: Core, i: int, packet: Octets, found: int, now: int, hops: int) -> int:
    """Return the outcome of an IPv6 packet that goes on as an IPv4 one.

    Where not even IPv6's smallest MTU would fit, telling the sender is no use: its packets may
    be fragmented on the way then.
    """
    frame, parsed = core.batch.frames[i], core.batch.parsed[i]
    way = _way(core, found)
    mtu = i64(core.tables.ways[way]["mtu"])
    largest = largest_segment(frame, parsed)
    less = i64(parsed["l4"]) - IP4_HEADER
    is_too_big = largest - less > mtu
    may_be_cut = largest <= IP6_MINIMUM_MTU or parsed["kind"] & FRAGMENTED != 0
    if (is_too_big and not may_be_cut) or parsed["end"] - less > LARGEST:
        return answer_too_big(core, i, packet, max(IP6_MINIMUM_MTU, mtu + GREW))
    _go_on(core, i, packet, found, now)
    word = fragment_word(packet, parsed, largest - less)
    if word >> 16 == 0 and not parsed["kind"] & FRAGMENTED:
        word |= next_identification(core) << 16
    other = half(core.flows.rows[row_of(found)], 1 - direction_of(found))
    put_header4(core.batch.slots[frame["slot"]], frame, parsed, other, _ttl(core, i, hops), word)
    _finish(core, i, found)
    if is_too_big:
        return send_in_pieces(core, i, way)
    emit(core.batch, frame, way)
    return FORWARD


@kernel
def _cross_to6(core: Core, i: int, packet: Octets, found: int, now: int, hops: int) -> int:
    """Return the outcome of an IPv4 packet that goes on as an IPv6 one.

    UDP may not be without a checksum there (RFC 8200 section 8.1): it is computed, but for a
    datagram in pieces, of which nobody here has all (RFC 7915 section 4.5).
    """
    frame, parsed = core.batch.frames[i], core.batch.parsed[i]
    way = _way(core, found)
    mtu = i64(core.tables.ways[way]["mtu"])
    is_piece = parsed["kind"] & FRAGMENTED != 0
    more = GREW + (IP6_FRAGMENT_HEADER if is_piece else 0)
    is_too_big = largest_segment(frame, parsed) + more > mtu
    if is_too_big and not _may_be_cut(core, i):
        return answer_too_big(core, i, packet, max(IP4_MINIMUM_MTU, mtu - more))
    is_unchecked = not parsed["kind"] & LATER_FRAGMENT and has_no_checksum(packet, frame, parsed)
    if is_unchecked and is_piece:
        return drop(BAD_CHECKSUM)
    _go_on(core, i, packet, found, now)
    is_cut = is_too_big and frame["gso_type"] == GSO_NONE
    other = half(core.flows.rows[row_of(found)], 1 - direction_of(found))
    extra = IP6_FRAGMENT_HEADER if is_piece or is_cut else 0
    slot = core.batch.slots[frame["slot"]]
    put_header6(slot, frame, parsed, other, _ttl(core, i, hops), extra)
    _finish(core, i, found)
    if is_unchecked:
        compute_udp_checksum(slot[frame["start"] : frame["start"] + frame["length"]], parsed)
    if is_cut:
        return send_in_pieces(core, i, way)
    if is_too_big:
        frame["gso_size"] = mtu - parsed["payload"]
    emit(core.batch, frame, way)
    return FORWARD


@kernel
def _may_be_cut(core: Core, i: int) -> bool:
    """Return whether an IPv4 packet may be made smaller on its way.

    A super-packet of TCP is cut into smaller segments; of UDP, its segments are datagrams.
    """
    frame, parsed = core.batch.frames[i], core.batch.parsed[i]
    if parsed["dont_fragment"]:
        return False
    return i64(frame["gso_type"]) == GSO_NONE or i64(parsed["protocol"]) == TCP


@kernel
def _way(core: Core, found: int) -> int:
    """Return where packets of a flow's direction leave."""
    return i64(half(core.flows.rows[row_of(found)], direction_of(found))["way"])


@kernel
def _ttl(core: Core, i: int, hops: int) -> int:
    """Return the TTL or hop limit that a packet leaves with."""
    return i64(core.batch.parsed[i]["ttl"]) - (1 if hops == TTL_OWN else 0)


@rare_kernel
def _go_on(core: Core, i: int, packet: Octets, found: int, now: int) -> None:
    """Let the flow follow a packet that goes on, and count it; a later piece tells no more."""
    row = core.flows.rows[row_of(found)]
    parsed = core.batch.parsed[i]
    if not parsed["kind"] & LATER_FRAGMENT:
        advance(core, row, packet, parsed, direction_of(found), now)
    account_packet(core, row, parsed, direction_of(found))


@rare_kernel
def _finish(core: Core, i: int, found: int) -> None:
    """Write ports and what follows from them behind a packet's new header."""
    row = core.flows.rows[row_of(found)]
    parsed = core.batch.parsed[i]
    if parsed["kind"] & LATER_FRAGMENT:
        return
    this, other = half(row, direction_of(found)), half(row, 1 - direction_of(found))
    deltas = i64(this["address_delta"]), i64(this["transport_delta"])
    frame = core.batch.frames[i]
    packet = core.batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
    rewrite_transport(packet, frame, parsed, other, deltas[0], deltas[1])
    if i64(row["actions"]) & ACTION_MSS and parsed["tcp_flags"] & SYN:
        lower_mss(core, i, packet, row)
