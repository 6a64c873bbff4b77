"""The one door: a packet's octets are judged here, once, and what is learnt is kept in `Parsed`.

After `parse()` has accepted a packet, every offset in `Parsed` lies inside it, so the rewrites
check nothing again. Writing to a length field, a version or a data offset revokes that.

Read RFC 791 section 3.1, RFC 8200 sections 3 and 4, RFC 9293 section 3.1 and RFC 1812 section
5.2.2 before working on this file.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from natlb.jit import kernel
from natlb.wire.checksum import checksum_offset, sum_octets
from natlb.wire.fields import (
    ACK,
    AUTHENTICATION,
    DESTINATION_OPTIONS,
    FIN,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP4,
    ICMP6,
    ICMP_HEADER,
    IP4_DESTINATION,
    IP4_DONT_FRAGMENT,
    IP4_FRAGMENT,
    IP4_FRAGMENT_OFFSET,
    IP4_HEADER,
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
    IP6_SOURCE,
    L4_DESTINATION_PORT,
    L4_SOURCE_PORT,
    MAPPED_LANE,
    ROUTING,
    ROUTING_TYPE_SOURCE,
    RST,
    SYN,
    TCP,
    TCP_DATA_OFFSET,
    TCP_FLAGS,
    TCP_HEADER,
    UDP,
    UDP_CHECKSUM,
    UDP_HEADER,
    UDP_LENGTH,
)
from natlb.wire.frame import GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP_L4, Frame
from natlb.wire.octets import Octets, get_u8, get_u16, get_u32
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, MALFORMED, MARTIAN, UNSUPPORTED

Parsed: TypeAlias = Any  # one record of PARSED
ParsedBatch: TypeAlias = NDArray[np.void]

PARSED = np.dtype(
    [
        # valid whatever the verdict
        ("refusal", np.int64),  # a DropReason, or ACCEPTED
        ("segments", np.int64),  # packets on the wire: 1, or a super-packet's segments
        ("wire_bytes", np.int64),  # octets on the wire from the IP header on, all segments
        # valid iff accepted
        ("version", np.int64),  # 4 or 6
        ("ttl", np.int64),  # or hop limit
        ("protocol", np.int64),  # of the transport header; extension headers are skipped
        ("source0", np.int64),  # addresses as four 32-bit lanes, IPv4 as ::ffff:a.b.c.d
        ("source1", np.int64),
        ("source2", np.int64),
        ("source3", np.int64),
        ("destination0", np.int64),
        ("destination1", np.int64),
        ("destination2", np.int64),
        ("destination3", np.int64),
        ("source_port", np.int64),  # 0 where there are no ports
        ("destination_port", np.int64),
        ("l4", np.int64),  # where the transport header begins
        ("payload", np.int64),  # where its payload begins
        ("end", np.int64),  # where the packet ends: padding behind it is not part of it
        ("tcp_flags", np.int64),
        ("kind", np.int64),  # PLAIN, or a set of FRAGMENTED, EXTENDED
        ("dont_fragment", np.int64),  # 1 for IPv6
        # filled by the core's first pass
        ("hash", np.int64),
        ("found", np.int64),
    ]
)

PLAIN = 0
FRAGMENTED = 1  # a fragment, the first included
LATER_FRAGMENT = 2  # a fragment without a transport header
EXTENDED = 4  # IPv4 options or IPv6 extension headers

MOST_EXTENSION_HEADERS = (
    8  # work per packet is bounded; RFC 8504 section 5.3 lets a host set such a limit
)


@kernel
def parse(packet: Octets, frame: Frame, parsed: Parsed) -> None:
    """Fill `parsed` from a packet and its offload form; `parsed["refusal"]` says whether it stands."""
    parsed["segments"] = 1
    parsed["wire_bytes"] = packet.size
    parsed["refusal"] = _parse_packet(packet, frame, parsed)


@kernel
def _parse_packet(packet: Octets, frame: Frame, parsed: Parsed) -> int:
    """Return ACCEPTED or the reason to refuse; each step runs only when the one before accepted."""
    refusal = _parse_network(packet, parsed)
    if refusal != ACCEPTED:
        return refusal
    parsed["wire_bytes"] = parsed["end"]
    refusal = _judge_addresses(parsed)
    if refusal != ACCEPTED or parsed["kind"] & LATER_FRAGMENT:
        return refusal
    refusal = _parse_transport(packet, parsed)
    if refusal != ACCEPTED:
        return refusal
    refusal = _judge_offload(frame, parsed)
    if refusal != ACCEPTED:
        return refusal
    return _judge_udp_checksum(packet, frame, parsed)


@kernel
def _parse_network(packet: Octets, parsed: Parsed) -> int:
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
    if sum_octets(packet, 0, header) != 0xFFFF:
        return BAD_CHECKSUM
    parsed["end"] = total
    parsed["l4"] = header
    parsed["payload"] = header
    parsed["ttl"] = get_u8(packet, IP4_TTL)
    parsed["protocol"] = get_u8(packet, IP4_PROTOCOL)
    _read_address4(packet, parsed)
    if header > IP4_HEADER:
        parsed["kind"] = EXTENDED
    fragment = get_u16(packet, IP4_FRAGMENT)
    parsed["dont_fragment"] = 1 if fragment & IP4_DONT_FRAGMENT else 0
    offset = (fragment & IP4_FRAGMENT_OFFSET) * 8
    return _note_fragment(parsed, offset, fragment & IP4_MORE_FRAGMENTS, total - header)


@kernel
def _note_fragment(parsed: Parsed, offset: int, more: int, length: int) -> int:
    """Return the verdict on a fragment's place in its datagram, and keep which kind it is.

    A piece but the last holds a multiple of eight octets (RFC 791), and none may reach past
    65,535: such a datagram was the "ping of death".
    """
    if offset == 0 and more == 0:
        return ACCEPTED
    parsed["kind"] |= FRAGMENTED
    if offset > 0:
        parsed["kind"] |= LATER_FRAGMENT
    if (more != 0 and (length & 7 or length == 0)) or offset + length > 0xFFFF:
        return MALFORMED
    return ACCEPTED


@kernel
def _read_address4(packet: Octets, parsed: Parsed) -> None:
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
    _read_address6(packet, parsed)
    return _skip_extension_headers(packet, parsed, end)


@kernel
def _read_address6(packet: Octets, parsed: Parsed) -> None:
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
        if not _is_extension_header(following):
            parsed["protocol"] = following
            parsed["l4"] = at
            parsed["payload"] = at
            return ACCEPTED
        if at + 8 > end:
            return MALFORMED
        parsed["kind"] |= EXTENDED
        if following == ROUTING and get_u8(packet, at + 2) == ROUTING_TYPE_SOURCE:
            return UNSUPPORTED
        if following == FRAGMENT:
            refusal = _parse_fragment_header(packet, parsed, at, end)
            if refusal != ACCEPTED or parsed["kind"] & LATER_FRAGMENT:
                return refusal
        length = _extension_header_length(packet, at, following)
        if at + length > end:
            return MALFORMED
        following = get_u8(packet, at)
        at += length
    return UNSUPPORTED


@kernel
def _is_extension_header(protocol: int) -> bool:
    """Return whether a next-header number is one that can be skipped to reach the transport header."""
    return (
        protocol == HOP_BY_HOP
        or protocol == ROUTING
        or protocol == FRAGMENT
        or protocol == DESTINATION_OPTIONS
        or protocol == AUTHENTICATION
    )


@kernel
def _extension_header_length(packet: Octets, at: int, kind: int) -> int:
    """Return an extension header's length in octets (RFC 8200 section 4; AH counts by RFC 4302)."""
    if kind == FRAGMENT:
        return 8
    if kind == AUTHENTICATION:
        return (get_u8(packet, at + 1) + 2) * 4
    return (get_u8(packet, at + 1) + 1) * 8


@kernel
def _parse_fragment_header(packet: Octets, parsed: Parsed, at: int, end: int) -> int:
    """Return the verdict on an IPv6 fragment header, and where a later fragment's payload begins."""
    field = get_u16(packet, at + 2)
    parsed["protocol"] = get_u8(packet, at)
    parsed["l4"] = at + 8
    parsed["payload"] = at + 8
    return _note_fragment(parsed, field & 0xFFF8, field & 1, end - at - 8)


@kernel
def _judge_addresses(parsed: Parsed) -> int:
    """Return MARTIAN for addresses that no packet on a wire may carry (RFC 1812 5.3.7, RFC 6890)."""
    if parsed["version"] == 4:
        return _judge_addresses4(parsed["source3"], parsed["destination3"])
    return _judge_addresses6(parsed)


@kernel
def _judge_addresses4(source: int, destination: int) -> int:
    """Judge IPv4 addresses; `source == destination` is the LAND attack."""
    if _is_martian4(source) or _is_martian4(destination) or source == destination:
        return MARTIAN
    return ACCEPTED


@kernel
def _is_martian4(address: int) -> bool:
    """Return whether an address is of 0/8, 127/8, or multicast, reserved and broadcast (224/3)."""
    first = address >> 24
    return first == 0 or first == 127 or first >= 224


@kernel
def _judge_addresses6(parsed: Parsed) -> int:
    """Judge IPv6 addresses; a v4-mapped one would be taken for an IPv4 key further in."""
    if (
        _is_martian6(parsed["source0"], parsed["source1"], parsed["source2"], parsed["source3"])
        or _is_martian6(
            parsed["destination0"],
            parsed["destination1"],
            parsed["destination2"],
            parsed["destination3"],
        )
        or (
            parsed["source0"] == parsed["destination0"]
            and parsed["source1"] == parsed["destination1"]
            and parsed["source2"] == parsed["destination2"]
            and parsed["source3"] == parsed["destination3"]
        )
    ):
        return MARTIAN
    return ACCEPTED


@kernel
def _is_martian6(lane0: int, lane1: int, lane2: int, lane3: int) -> bool:
    """Return whether an address is of ff00::/8, fe80::/10, ::, ::1 or ::ffff:0:0/96."""
    if lane0 >> 24 == 0xFF or lane0 >> 22 == 0xFE80 >> 6:
        return True
    if lane0 != 0 or lane1 != 0:
        return False
    return lane2 == MAPPED_LANE or (lane2 == 0 and lane3 <= 1)


@kernel
def _parse_transport(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on the transport header; of an unknown protocol nothing is asked."""
    protocol = parsed["protocol"]
    if protocol == TCP:
        return _parse_tcp(packet, parsed)
    if protocol == UDP:
        return _parse_udp(packet, parsed)
    of_its_version = ICMP4 if parsed["version"] == 4 else ICMP6
    if protocol == of_its_version and parsed["end"] - parsed["l4"] < ICMP_HEADER:
        return MALFORMED
    return ACCEPTED


@kernel
def _parse_tcp(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on a TCP header: its length, its ports, and flags that exclude each other."""
    l4 = parsed["l4"]
    if parsed["end"] - l4 < TCP_HEADER:
        return MALFORMED
    header = (get_u8(packet, l4 + TCP_DATA_OFFSET) >> 4) * 4
    flags = get_u8(packet, l4 + TCP_FLAGS)
    parsed["payload"] = l4 + header
    parsed["tcp_flags"] = flags
    if header < TCP_HEADER or l4 + header > parsed["end"] or _are_flags_illegal(flags):
        return MALFORMED
    return _parse_ports(packet, parsed)


@kernel
def _are_flags_illegal(flags: int) -> bool:
    """Return whether no TCP sends these flags together (Linux: tcp_valid_flags of nf_conntrack).

    SYN with FIN or RST, FIN without ACK, none at all: marks of a port scan.
    """
    if flags & SYN:
        return flags & (FIN | RST) != 0
    return flags & (RST | ACK) == 0 or flags & (FIN | RST) == FIN | RST


@kernel
def _parse_udp(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on a UDP header. Only a fragment's length may pass the octets at hand."""
    l4 = parsed["l4"]
    at_hand = parsed["end"] - l4
    if at_hand < UDP_HEADER:
        return MALFORMED
    length = get_u16(packet, l4 + UDP_LENGTH)
    if length < UDP_HEADER or (length > at_hand and not parsed["kind"] & FRAGMENTED):
        return MALFORMED
    parsed["payload"] = l4 + UDP_HEADER
    return _parse_ports(packet, parsed)


@kernel
def _parse_ports(packet: Octets, parsed: Parsed) -> int:
    """Keep the ports; 0 is reserved, and answering it would be answering a forgery."""
    l4 = parsed["l4"]
    parsed["source_port"] = get_u16(packet, l4 + L4_SOURCE_PORT)
    parsed["destination_port"] = get_u16(packet, l4 + L4_DESTINATION_PORT)
    if parsed["source_port"] == 0 or parsed["destination_port"] == 0:
        return MALFORMED
    return ACCEPTED


@kernel
def _judge_offload(frame: Frame, parsed: Parsed) -> int:
    """Return whether the offload form fits the packet, and count a super-packet's segments."""
    carries_ports = parsed["protocol"] == TCP or parsed["protocol"] == UDP
    if frame["needs_checksum"] and not (
        carries_ports
        and frame["checksum_start"] == parsed["l4"]
        and frame["checksum_offset"] == checksum_offset(parsed["protocol"])
    ):
        return _judge_foreign_checksum(frame, parsed)
    if frame["gso_type"] == GSO_NONE:
        return ACCEPTED
    if not frame["needs_checksum"] or frame["gso_size"] == 0 or not _fits_gso(frame, parsed):
        return MALFORMED
    data = parsed["end"] - parsed["payload"]
    segments = max(1, (data + frame["gso_size"] - 1) // frame["gso_size"])
    parsed["segments"] = segments
    parsed["wire_bytes"] = parsed["end"] + (segments - 1) * parsed["payload"]
    return ACCEPTED


@kernel
def _judge_foreign_checksum(frame: Frame, parsed: Parsed) -> int:
    """Let through an unfinished checksum of a protocol that natlb does not rewrite (SCTP, ICMPv6)."""
    of_ports = parsed["protocol"] == TCP or parsed["protocol"] == UDP
    field = frame["checksum_start"] + frame["checksum_offset"]
    inside = frame["checksum_start"] >= parsed["l4"] and field + 2 <= parsed["end"]
    if of_ports or frame["gso_type"] != GSO_NONE or not inside:
        return MALFORMED
    return ACCEPTED


@kernel
def _fits_gso(frame: Frame, parsed: Parsed) -> bool:
    """Return whether the kind of segmentation is that of the packet's protocol and version."""
    kind = frame["gso_type"] & ~GSO_ECN
    if parsed["protocol"] == UDP:
        return kind == GSO_UDP_L4
    return kind == (GSO_TCP4 if parsed["version"] == 4 else GSO_TCP6)


@kernel
def _judge_udp_checksum(packet: Octets, frame: Frame, parsed: Parsed) -> int:
    """Refuse a UDP datagram over IPv6 without a checksum (RFC 8200 section 8.1).

    An unfinished checksum may read zero like any other sum.
    """
    if parsed["version"] == 4 or parsed["protocol"] != UDP or frame["needs_checksum"]:
        return ACCEPTED
    if get_u16(packet, parsed["l4"] + UDP_CHECKSUM) == 0:
        return BAD_CHECKSUM
    return ACCEPTED
