"""The IP header, with IPv6's extension headers: RFC 791 section 3.1, RFC 8200 sections 3 and 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel, rare_kernel
from natlb.wire.checksum import sum_header4, sum_octets
from natlb.wire.fields import (
    AUTHENTICATION,
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_BY_HOP,
    IP4_DESTINATION,
    IP4_DONT_FRAGMENT,
    IP4_FRAGMENT,
    IP4_FRAGMENT_OFFSET,
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
    MAPPED_LANE,
    ROUTING,
    ROUTING_TYPE_SOURCE,
)
from natlb.wire.octets import get_u8, get_u16, get_u32
from natlb.wire.parsed import EXTENDED, FRAGMENTED, LATER_FRAGMENT, PLAIN, UNTRANSLATABLE
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, MALFORMED, UNSUPPORTED

if TYPE_CHECKING:
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed

# Work per packet is bounded; RFC 8504 section 5.3 lets a host set such a limit
MOST_EXTENSION_HEADERS = 8

# RFC 791 section 3.1
OPTION_END, OPTION_NOTHING = 0, 1
OPTION_LOOSE_ROUTE, OPTION_STRICT_ROUTE = 131, 137


@kernel
def parse_network(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on the IP header, whichever version it has."""
    if packet.size < IP4_HEADER:
        return MALFORMED
    version = get_u8(packet, 0) >> 4
    parsed["version"] = version
    parsed["kind"] = PLAIN
    parsed["source_port"] = 0
    parsed["destination_port"] = 0
    parsed["tcp_flags"] = 0
    if version == 4:
        return _parse_ip4(packet, parsed)
    if version == 6:
        return _parse_ip6(packet, parsed)
    return MALFORMED


@kernel
def _parse_ip4(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on an IPv4 header (RFC 1812 section 5.2.2, its five checks)."""
    header = (get_u8(packet, 0) & 0x0F) * 4
    total = get_u16(packet, IP4_TOTAL_LENGTH)
    if header < IP4_HEADER or total < header or total > packet.size:
        return MALFORMED
    total_sum = sum_header4(packet) if header == IP4_HEADER else sum_octets(packet, 0, header)
    if total_sum != 0xFFFF:
        return BAD_CHECKSUM
    parsed["end"] = total
    parsed["l4"] = header
    parsed["payload"] = header
    parsed["ttl"] = get_u8(packet, IP4_TTL)
    parsed["protocol"] = get_u8(packet, IP4_PROTOCOL)
    read_address4(packet, parsed)
    if header > IP4_HEADER:
        parsed["kind"] = UNTRANSLATABLE
        refusal = _judge_options4(packet, header)
        if refusal != ACCEPTED:
            return refusal
    fragment = get_u16(packet, IP4_FRAGMENT)
    parsed["dont_fragment"] = 1 if fragment & IP4_DONT_FRAGMENT else 0
    parsed["identification"] = get_u16(packet, IP4_IDENTIFICATION)
    offset = (fragment & IP4_FRAGMENT_OFFSET) * 8
    return _note_fragment(parsed, offset, fragment & IP4_MORE_FRAGMENTS, total - header)


@rare_kernel
def _judge_options4(packet: Octets, header: int) -> int:
    """Return the verdict on IPv4 options: a source route never passes (RFC 7126 section 4.3)."""
    at = IP4_HEADER
    while at < header:
        kind = get_u8(packet, at)
        if kind == OPTION_END:
            return ACCEPTED
        if kind == OPTION_NOTHING:
            at += 1
            continue
        if kind == OPTION_LOOSE_ROUTE or kind == OPTION_STRICT_ROUTE:
            return UNSUPPORTED
        length = get_u8(packet, at + 1) if at + 1 < header else 0
        if length < 2 or at + length > header:
            return MALFORMED
        at += length
    return ACCEPTED


@kernel
def _note_fragment(parsed: Parsed, offset: int, more: int, length: int) -> int:
    """Return the verdict on a fragment's place in its datagram, and keep which kind it is.

    A piece holds something, but for the last a multiple of eight octets (RFC 791), and none may
    reach past 65,535: such a datagram was the "ping of death". An IPv6 packet that is all of its
    datagram ("atomic", RFC 6946) is no fragment.
    """
    if offset == 0 and more == 0:
        return ACCEPTED
    parsed["kind"] |= FRAGMENTED
    parsed["offset"] = offset
    parsed["octets"] = length
    parsed["more"] = 1 if more else 0
    if offset > 0:
        parsed["kind"] |= LATER_FRAGMENT
    if length == 0 or (more != 0 and length & 7) or offset + length > 0xFFFF:
        return MALFORMED
    return ACCEPTED


@kernel
def read_address4(packet: Octets, parsed: Parsed) -> None:
    """Keep an IPv4 packet's addresses as v4-mapped lanes."""
    parsed["source0"] = 0
    parsed["source1"] = 0
    parsed["source2"] = MAPPED_LANE
    parsed["source3"] = get_u32(packet, IP4_SOURCE)
    parsed["destination0"] = 0
    parsed["destination1"] = 0
    parsed["destination2"] = MAPPED_LANE
    parsed["destination3"] = get_u32(packet, IP4_DESTINATION)


@kernel
def _parse_ip6(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on an IPv6 header and its chain of extension headers."""
    if packet.size < IP6_HEADER:
        return MALFORMED
    end = IP6_HEADER + get_u16(packet, IP6_PAYLOAD_LENGTH)
    if end > packet.size:
        return MALFORMED
    parsed["end"] = end
    parsed["ttl"] = get_u8(packet, IP6_HOP_LIMIT)
    parsed["dont_fragment"] = 1
    read_address6(packet, parsed)
    return _skip_extension_headers(packet, parsed, end)


@kernel
def read_address6(packet: Octets, parsed: Parsed) -> None:
    """Keep an IPv6 packet's addresses as lanes."""
    parsed["source0"] = get_u32(packet, IP6_SOURCE)
    parsed["source1"] = get_u32(packet, IP6_SOURCE + 4)
    parsed["source2"] = get_u32(packet, IP6_SOURCE + 8)
    parsed["source3"] = get_u32(packet, IP6_SOURCE + 12)
    parsed["destination0"] = get_u32(packet, IP6_DESTINATION)
    parsed["destination1"] = get_u32(packet, IP6_DESTINATION + 4)
    parsed["destination2"] = get_u32(packet, IP6_DESTINATION + 8)
    parsed["destination3"] = get_u32(packet, IP6_DESTINATION + 12)


@kernel
def _skip_extension_headers(packet: Octets, parsed: Parsed, end: int) -> int:
    """Find the transport header behind at most eight extension headers (RFC 8200 section 4.1).

    A chain that runs out of the packet is malformed (RFC 7112 demands all of it in the first
    fragment); a longer one, and one with a source route (RFC 5095), is unsupported.
    """
    following = get_u8(packet, IP6_NEXT_HEADER)
    at = IP6_HEADER
    for _ in range(MOST_EXTENSION_HEADERS + 1):
        if not is_extension_header(following):
            parsed["protocol"] = following
            parsed["l4"] = at
            parsed["payload"] = at
            return ACCEPTED
        if at + 8 > end:
            return MALFORMED
        parsed["kind"] |= EXTENDED
        if _is_bound_to_addresses(packet, at, following):
            parsed["kind"] |= UNTRANSLATABLE
        if following == ROUTING and get_u8(packet, at + 2) == ROUTING_TYPE_SOURCE:
            return UNSUPPORTED
        if following == FRAGMENT:
            refusal = _parse_fragment_header(packet, parsed, at, end)
            if refusal != ACCEPTED or parsed["kind"] & LATER_FRAGMENT:
                return refusal
        length = extension_header_length(packet, at, following)
        if at + length > end:
            return MALFORMED
        following = get_u8(packet, at)
        at += length
    return UNSUPPORTED


@kernel
def _is_bound_to_addresses(packet: Octets, at: int, kind: int) -> bool:
    """Return whether an extension header makes the packet's sums cover other addresses or none.

    A route that is not at its end: the checksum covers where it ends (RFC 8200 section 8.1).
    """
    if kind == ROUTING:
        return get_u8(packet, at + IP6_SEGMENTS_LEFT) != 0
    return kind == AUTHENTICATION


@kernel
def is_extension_header(protocol: int) -> bool:
    """Return whether a next-header number is of a header that stands before the transport's."""
    return (
        protocol == HOP_BY_HOP
        or protocol == ROUTING
        or protocol == FRAGMENT
        or protocol == DESTINATION_OPTIONS
        or protocol == AUTHENTICATION
    )


@kernel
def extension_header_length(packet: Octets, at: int, kind: int) -> int:
    """Return an extension header's length in octets (RFC 8200 section 4; AH counts by RFC 4302)."""
    if kind == FRAGMENT:
        return 8
    if kind == AUTHENTICATION:
        return (get_u8(packet, at + 1) + 2) * 4
    return (get_u8(packet, at + 1) + 1) * 8


@kernel
def _parse_fragment_header(packet: Octets, parsed: Parsed, at: int, end: int) -> int:
    """Return the verdict on an IPv6 fragment header; keep where a later one's payload begins."""
    field = get_u16(packet, at + 2)
    parsed["protocol"] = get_u8(packet, at)
    parsed["l4"] = at + 8
    parsed["payload"] = at + 8
    parsed["identification"] = get_u32(packet, at + 4)
    return _note_fragment(parsed, field & 0xFFF8, field & 1, end - at - 8)
