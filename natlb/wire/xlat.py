"""A header of the other IP version in place of a packet's own (RFC 7915, sections 4.1 and 5.1).

The transport header stays where it lies: the new header ends where it begins, so an IPv4 packet
grows into its slot's headroom, and what IPv6 had more is left before the frame. `Parsed` and the
frame tell of the new packet afterwards.

What the versions share is copied (traffic class, hop limit, protocol); extension headers are left
out, as the RFC says, and the flow label is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.checksum import fold, sum_octets, sum_pseudo_header
from natlb.wire.fields import (
    FRAGMENT,
    IP4_CHECKSUM,
    IP4_DESTINATION,
    IP4_DONT_FRAGMENT,
    IP4_HEADER,
    IP4_IDENTIFICATION,
    IP4_MORE_FRAGMENTS,
    IP4_PROTOCOL,
    IP4_SOURCE,
    IP4_TOTAL_LENGTH,
    IP4_TTL,
    IP6_DESTINATION,
    IP6_HEADER,
    IP6_HOP_LIMIT,
    IP6_NEXT_HEADER,
    IP6_PAYLOAD_LENGTH,
    IP6_SEGMENTS_LEFT,
    IP6_SOURCE,
    ROUTING,
    UDP,
    UDP_CHECKSUM,
    UDP_LENGTH,
)
from natlb.wire.frame import GSO_ECN, GSO_TCP4, GSO_TCP6
from natlb.wire.network import extension_header_length
from natlb.wire.octets import Octets, get_u8, get_u16, set_u8, set_u16, set_u32
from natlb.wire.parsed import EXTENDED, FRAGMENTED
from natlb.wire.rewrite import destination_lanes, set_address6, source_lanes

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.parsed import Parsed

GREW = IP6_HEADER - IP4_HEADER  # what a packet gains on its way to IPv6
WHOLE_ATOMIC = 1260  # the largest IPv4 packet that is sent without DF: RFC 7915 section 5.1


@kernel
def find_extension(packet: Octets, l4: int, wanted: int) -> int:
    """Return where an IPv6 packet's first extension header of a kind begins, or 0.

    `parse()` walked the same chain before.
    """
    following = get_u8(packet, IP6_NEXT_HEADER)
    at = IP6_HEADER
    while at < l4:
        if following == wanted:
            return at
        length = extension_header_length(packet, at, following)
        following = get_u8(packet, at)
        at += length
    return 0


@rare_kernel
def find_unfinished_route(packet: Octets, parsed: Parsed) -> int:
    """Return where a routing header says that its route is not at its end, or 0.

    Such a packet must not be translated (RFC 7915 section 5.1).
    """
    if parsed["kind"] & EXTENDED == 0:
        return 0
    at = find_extension(packet, i64(parsed["l4"]), ROUTING)
    if at == 0 or get_u8(packet, at + IP6_SEGMENTS_LEFT) == 0:
        return 0
    return at + IP6_SEGMENTS_LEFT


@rare_kernel
def fragment_word(packet: Octets, parsed: Parsed, size: int) -> int:
    """Return the second word of an IPv4 header for an IPv6 packet; `size` is its largest in IPv4.

    Zero in its upper half stands for an identification that is still to be given. A Fragment
    header brings its own, in a packet that is whole too (RFC 7915 section 5.1.1), and "don't
    fragment" is not set then. Nor is it for a packet that could have come from a path of IPv6's
    smallest MTU: its sender will not make it smaller.
    """
    if parsed["kind"] & FRAGMENTED:
        more = IP4_MORE_FRAGMENTS if parsed["more"] else 0
        return i64(parsed["identification"] & 0xFFFF) << 16 | more | i64(parsed["offset"]) >> 3
    if parsed["kind"] & EXTENDED:
        at = find_extension(packet, i64(parsed["l4"]), FRAGMENT)
        if at:
            return get_u16(packet, at + 6) << 16
    return IP4_DONT_FRAGMENT if size > WHOLE_ATOMIC else 0


@rare_kernel
def put_header4(slot: Octets, frame: Frame, parsed: Parsed, key: Any, ttl: int, word: int) -> None:
    """Give an IPv6 packet an IPv4 header, from `key`'s destination to its source.

    `word` is the second of the header: identification, flags and offset.
    """
    start = i64(frame["start"] + parsed["l4"]) - IP4_HEADER
    tos = get_u16(slot, i64(frame["start"])) >> 4 & 0xFF
    length = i64(parsed["end"] - parsed["l4"])
    protocol = i64(parsed["protocol"])
    packet = slot[start : start + IP4_HEADER]
    write_header4(packet, tos, length, word, ttl, protocol)
    set_u32(packet, IP4_SOURCE, destination_lanes(key)[3])
    set_u32(packet, IP4_DESTINATION, source_lanes(key)[3])
    finish_header4(packet)
    parsed["kind"] &= ~EXTENDED
    parsed["dont_fragment"] = 1 if word & IP4_DONT_FRAGMENT else 0
    parsed["version"] = 4
    _note_header(frame, parsed, IP4_HEADER)


@kernel
def write_header4(
    packet: Octets, tos: int, length: int, word: int, ttl: int, protocol: int
) -> None:
    """Write an IPv4 header for `length` octets behind it, but its addresses and its sum."""
    set_u16(packet, 0, 0x4500 | tos)
    set_u16(packet, IP4_TOTAL_LENGTH, IP4_HEADER + length)
    set_u32(packet, IP4_IDENTIFICATION, word)
    set_u8(packet, IP4_TTL, ttl)
    set_u8(packet, IP4_PROTOCOL, protocol)


@kernel
def finish_header4(packet: Octets) -> None:
    """Compute the sum of an IPv4 header without options."""
    set_u16(packet, IP4_CHECKSUM, 0)
    set_u16(packet, IP4_CHECKSUM, ~sum_octets(packet, 0, IP4_HEADER) & 0xFFFF)


@rare_kernel
def put_header6(
    slot: Octets, frame: Frame, parsed: Parsed, key: Any, hop_limit: int, extra: int
) -> None:
    """Give an IPv4 packet without options an IPv6 header, from `key`'s destination to its source.

    `extra` is 0, or the room of a Fragment header, which is written then: with the packet's own
    place in its datagram and its identification (RFC 7915 section 4.1).
    """
    l4 = IP6_HEADER + extra
    start = i64(frame["start"] + parsed["l4"]) - l4
    traffic_class = get_u8(slot, i64(frame["start"]) + 1)
    length = i64(parsed["end"] - parsed["l4"]) + extra
    packet = slot[start : start + l4]
    protocol = i64(parsed["protocol"])
    following = FRAGMENT if extra else protocol
    write_header6(packet, traffic_class, length, hop_limit, following)
    set_address6(packet, IP6_SOURCE, destination_lanes(key))
    set_address6(packet, IP6_DESTINATION, source_lanes(key))
    if extra:
        is_piece = parsed["kind"] & FRAGMENTED
        place = (parsed["offset"] | parsed["more"]) if is_piece else 0
        write_fragment_header(packet, protocol, i64(place), i64(parsed["identification"]))
    parsed["dont_fragment"] = 1
    parsed["version"] = 6
    _note_header(frame, parsed, l4)


@kernel
def write_header6(
    packet: Octets, traffic_class: int, length: int, hop_limit: int, following: int
) -> None:
    """Write an IPv6 header for `length` octets behind it, but its addresses."""
    set_u32(packet, 0, 0x60000000 | traffic_class << 20)
    set_u16(packet, IP6_PAYLOAD_LENGTH, length)
    set_u8(packet, IP6_NEXT_HEADER, following)
    set_u8(packet, IP6_HOP_LIMIT, hop_limit)


@kernel
def write_fragment_header(packet: Octets, protocol: int, place: int, identification: int) -> None:
    """Write a Fragment header behind an IPv6 header; `place` is the offset in octets, and M."""
    set_u16(packet, IP6_HEADER, protocol << 8)
    set_u16(packet, IP6_HEADER + 2, place)
    set_u32(packet, IP6_HEADER + 4, identification)


@kernel
def _note_header(frame: Frame, parsed: Parsed, l4: int) -> None:
    """Let a packet's frame and what was parsed tell of a header of `l4` octets."""
    moved = parsed["l4"] - l4
    frame["start"] += moved
    frame["length"] = parsed["end"] - moved
    parsed["end"] -= moved
    parsed["payload"] -= moved
    parsed["l4"] = l4
    if frame["needs_checksum"]:
        frame["checksum_start"] = l4
    kind = i64(frame["gso_type"]) & ~GSO_ECN
    if kind == GSO_TCP4 or kind == GSO_TCP6:
        frame["gso_type"] ^= GSO_TCP4 ^ GSO_TCP6


@kernel
def has_no_checksum(packet: Octets, frame: Frame, parsed: Parsed) -> bool:
    """Return whether this is UDP whose sender computed no checksum."""
    if parsed["protocol"] != UDP or frame["needs_checksum"]:
        return False
    return get_u16(packet, parsed["l4"] + UDP_CHECKSUM) == 0


@rare_kernel
def compute_udp_checksum(packet: Octets, parsed: Parsed) -> None:
    """Give a UDP datagram over IPv6 the checksum that it must have, reading all of it."""
    l4 = i64(parsed["l4"])
    length = get_u16(packet, l4 + UDP_LENGTH)
    total = sum_octets(packet, l4, l4 + length)
    total = fold(total + sum_pseudo_header(packet, IP6_SOURCE, 32, UDP, length))
    checksum = ~total & 0xFFFF
    set_u16(packet, l4 + UDP_CHECKSUM, 0xFFFF if checksum == 0 else checksum)
