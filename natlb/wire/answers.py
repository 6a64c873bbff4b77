"""Answers that natlb gives itself: echo replies, resets, ICMP errors.

Each is written over the packet that it answers, or before it: an error's quote *is* the packet,
and its headers go into the headroom.

What may be answered at all is said by `may_be_answered()` (RFC 1812 section 4.3.2.7, RFC 4443
section 2.4 (e)); the rate is the caller's matter.
"""

from __future__ import annotations

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.checksum import (
    fold,
    sum_octets,
    sum_pseudo_header,
    update_checksum,
)
from natlb.wire.fields import (
    ACK,
    ANSWER_TTL,
    FIN,
    ICMP4,
    ICMP4_ECHO_REPLY,
    ICMP4_ECHO_REQUEST,
    ICMP4_ERROR_LIMIT,
    ICMP4_PARAMETER_PROBLEM,
    ICMP4_REDIRECT,
    ICMP4_SOURCE_QUENCH,
    ICMP4_TIME_EXCEEDED,
    ICMP4_UNREACHABLE,
    ICMP6,
    ICMP6_ECHO_REPLY,
    ICMP6_ECHO_REQUEST,
    ICMP6_ERROR_LIMIT,
    ICMP6_FIRST_INFORMATIONAL,
    ICMP6_REDIRECT,
    ICMP_CHECKSUM,
    ICMP_CODE,
    ICMP_HEADER,
    ICMP_REST,
    ICMP_TYPE,
    IP4_CHECKSUM,
    IP4_DESTINATION,
    IP4_DONT_FRAGMENT,
    IP4_FRAGMENT,
    IP4_HEADER,
    IP4_IDENTIFICATION,
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
    RST,
    SYN,
    TCP,
    TCP_ACKNOWLEDGEMENT,
    TCP_CHECKSUM,
    TCP_DATA_OFFSET,
    TCP_FLAGS,
    TCP_HEADER,
    TCP_SEQUENCE,
    TCP_URGENT,
    TCP_WINDOW,
    UDP,
    UDP_CHECKSUM,
    UDP_LENGTH,
)
from natlb.wire.frame import Frame, set_plain
from natlb.wire.octets import Octets, get_u8, get_u16, get_u32, set_u8, set_u16, set_u32
from natlb.wire.parsed import FRAGMENTED, LATER_FRAGMENT, Parsed
from natlb.wire.rewrite import Lanes, destination_lanes, set_address6, source_lanes

WORD = 0xFFFFFFFF


@kernel
def is_icmp(parsed: Parsed) -> bool:
    """Return whether the packet is ICMP of its own IP version."""
    return i64(parsed["protocol"]) == (ICMP4 if parsed["version"] == 4 else ICMP6)


@kernel
def is_icmp_error(packet: Octets, parsed: Parsed) -> bool:
    """Return whether the packet is an ICMP error (or a redirect, which none may answer either)."""
    if not is_icmp(parsed) or parsed["kind"] & LATER_FRAGMENT:
        return False
    return is_error_type(i64(parsed["version"]), get_u8(packet, parsed["l4"] + ICMP_TYPE))


@kernel
def is_error_type(version: int, kind: int) -> bool:
    """Return whether ICMP of this IP version and type is an error or a redirect."""
    if version == 6:
        return kind < ICMP6_FIRST_INFORMATIONAL or kind == ICMP6_REDIRECT
    return (
        kind == ICMP4_UNREACHABLE
        or kind == ICMP4_SOURCE_QUENCH
        or kind == ICMP4_REDIRECT
        or kind == ICMP4_TIME_EXCEEDED
        or kind == ICMP4_PARAMETER_PROBLEM
    )


@kernel
def is_echo_request(packet: Octets, parsed: Parsed) -> bool:
    """Return whether the packet is an echo request of its own IP version."""
    if not is_icmp(parsed):
        return False
    kind = get_u8(packet, parsed["l4"] + ICMP_TYPE)
    wanted = ICMP4_ECHO_REQUEST if parsed["version"] == 4 else ICMP6_ECHO_REQUEST
    return kind == wanted and get_u8(packet, parsed["l4"] + ICMP_CODE) == 0


@rare_kernel
def is_transport_sum_right(packet: Octets, frame: Frame, parsed: Parsed) -> bool:
    """Return whether the transport checksum is right, reading the whole payload.

    One that the device is to finish is right by definition, and so is UDP's "none" over IPv4.
    UDP's own length says what its checksum covers; octets behind that are not its own.
    """
    if frame["needs_checksum"]:
        return True
    l4, end, protocol = i64(parsed["l4"]), i64(parsed["end"]), i64(parsed["protocol"])
    if protocol == UDP:
        if get_u16(packet, l4 + UDP_CHECKSUM) == 0:
            return True
        end = min(end, l4 + get_u16(packet, l4 + UDP_LENGTH))
    total = sum_octets(packet, l4, end)
    if protocol != ICMP4:
        total = fold(total + _pseudo_sum(packet, i64(parsed["version"]), protocol, end - l4))
    return total == 0xFFFF


@rare_kernel
def is_icmp_sum_right(packet: Octets, frame: Frame, parsed: Parsed) -> bool:
    """Return whether ICMP's checksum is there and right: no driver leaves it to the device."""
    return not frame["needs_checksum"] and is_transport_sum_right(packet, frame, parsed)


@rare_kernel
def finish_icmp(packet: Octets, version: int, l4: int, end: int) -> None:
    """Compute the checksum of an ICMP message of this IP version anew."""
    set_u16(packet, l4 + ICMP_CHECKSUM, 0)
    total = sum_octets(packet, l4, end)
    if version == 6:
        total = fold(total + _pseudo_sum(packet, 6, ICMP6, end - l4))
    set_u16(packet, l4 + ICMP_CHECKSUM, ~total & 0xFFFF)


@kernel
def _pseudo_sum(packet: Octets, version: int, protocol: int, length: int) -> int:
    """Return the pseudo-header's sum for a transport segment of `length` octets."""
    if version == 4:
        return sum_pseudo_header(packet, IP4_SOURCE, 8, protocol, length)
    return sum_pseudo_header(packet, IP6_SOURCE, 32, protocol, length)


@rare_kernel
def may_be_answered(packet: Octets, frame: Frame, parsed: Parsed) -> bool:
    """Return whether an error about this packet may be sent: not about errors, nor about damage.

    Of a first fragment nobody can say whether the datagram is damaged. Addresses that nobody may
    answer were refused by `parse()` as martians.
    """
    if parsed["kind"] & LATER_FRAGMENT or is_icmp_error(packet, parsed):
        return False
    if parsed["kind"] & FRAGMENTED:
        return True
    checked = parsed["protocol"] in (TCP, UDP) or is_icmp(parsed)
    return not checked or is_transport_sum_right(packet, frame, parsed)


@rare_kernel
def write_echo_reply(packet: Octets, frame: Frame, parsed: Parsed) -> None:
    """Turn an echo request, or its first fragment, into its reply (RFC 792).

    The sum is changed by as much as the type was, so one that was wrong stays wrong.
    """
    turn_back(packet, frame, parsed)
    l4 = parsed["l4"]
    if parsed["version"] == 4:
        old, new = ICMP4_ECHO_REQUEST << 8, ICMP4_ECHO_REPLY << 8
    else:
        old, new = ICMP6_ECHO_REQUEST << 8, ICMP6_ECHO_REPLY << 8
    set_u16(packet, l4 + ICMP_TYPE, new)
    checksum = get_u16(packet, l4 + ICMP_CHECKSUM)
    set_u16(packet, l4 + ICMP_CHECKSUM, update_checksum(checksum, old, new))


@rare_kernel
def turn_back(packet: Octets, frame: Frame, parsed: Parsed) -> None:
    """Send a packet to where it came from: addresses swapped, TTL set anew; the rest is kept."""
    if parsed["version"] == 4:
        _write_ip4(packet, destination_lanes(parsed)[3], source_lanes(parsed)[3])
        _set_ttl4(packet, ANSWER_TTL)
    else:
        set_address6(packet, IP6_SOURCE, destination_lanes(parsed))
        set_address6(packet, IP6_DESTINATION, source_lanes(parsed))
        set_u8(packet, IP6_HOP_LIMIT, ANSWER_TTL)
    frame["length"] = parsed["end"]
    set_plain(frame)


@kernel
def _write_ip4(packet: Octets, source: int, destination: int) -> None:
    """Write both IPv4 addresses."""
    set_u32(packet, IP4_SOURCE, source)
    set_u32(packet, IP4_DESTINATION, destination)


@kernel
def _set_ttl4(packet: Octets, ttl: int) -> None:
    """Set an IPv4 TTL, and the header's sum anew."""
    set_u8(packet, IP4_TTL, ttl)
    _finish_ip4(packet, (get_u8(packet, 0) & 0x0F) * 4)


@kernel
def _finish_ip4(packet: Octets, header: int) -> None:
    """Compute an IPv4 header's sum anew."""
    set_u16(packet, IP4_CHECKSUM, 0)
    set_u16(packet, IP4_CHECKSUM, ~sum_octets(packet, 0, header) & 0xFFFF)


@kernel
def write_ip_header(
    packet: Octets, version: int, protocol: int, length: int, source: Lanes, destination: Lanes
) -> int:
    """Write a plain IP header for `length` octets behind it, and return how long it is.

    RFC 6864 section 4.1: with "don't fragment" set an IPv4 identification may be anything, so 0.
    """
    if version == 4:
        set_u16(packet, 0, 0x4500)
        set_u16(packet, IP4_TOTAL_LENGTH, IP4_HEADER + length)
        set_u16(packet, IP4_IDENTIFICATION, 0)
        set_u16(packet, IP4_FRAGMENT, IP4_DONT_FRAGMENT)
        set_u8(packet, IP4_TTL, ANSWER_TTL)
        set_u8(packet, IP4_PROTOCOL, protocol)
        _write_ip4(packet, source[3], destination[3])
        _finish_ip4(packet, IP4_HEADER)
        return IP4_HEADER
    set_u32(packet, 0, 0x60000000)
    set_u16(packet, IP6_PAYLOAD_LENGTH, length)
    set_u8(packet, IP6_NEXT_HEADER, protocol)
    set_u8(packet, IP6_HOP_LIMIT, ANSWER_TTL)
    set_address6(packet, IP6_SOURCE, source)
    set_address6(packet, IP6_DESTINATION, destination)
    return IP6_HEADER


@rare_kernel
def write_reset(packet: Octets, frame: Frame, parsed: Parsed) -> None:
    """Write the reset that a closed port gives to a segment (RFC 9293 section 3.10.7.1) over it.

    With an acknowledgement, the reset takes its number; without, it acknowledges all the segment
    occupies. The segment must not be a reset itself: "a segment containing a RST is discarded".
    """
    l4 = parsed["l4"]
    sequence = get_u32(packet, l4 + TCP_SEQUENCE)
    acknowledged = get_u32(packet, l4 + TCP_ACKNOWLEDGEMENT)
    flags = parsed["tcp_flags"]
    if flags & ACK:
        sequence, acknowledged, answer = acknowledged, 0, RST
    else:
        occupied = sequence_length(parsed)
        sequence, acknowledged, answer = 0, (sequence + occupied) & WORD, RST | ACK
    frame["length"] = write_tcp(
        packet,
        i64(parsed["version"]),
        destination_lanes(parsed),
        source_lanes(parsed),
        i64(parsed["destination_port"]),
        i64(parsed["source_port"]),
        sequence,
        acknowledged,
        answer,
    )
    set_plain(frame)


@kernel
def sequence_length(parsed: Parsed) -> int:
    """Return how many sequence numbers a segment takes: its data, and one each for SYN and FIN."""
    flags = i64(parsed["tcp_flags"])
    marks = (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
    return i64(parsed["end"]) - i64(parsed["payload"]) + marks


@rare_kernel
def write_tcp(
    packet: Octets,
    version: int,
    source: Lanes,
    destination: Lanes,
    source_port: int,
    destination_port: int,
    sequence: int,
    acknowledged: int,
    flags: int,
) -> int:
    """Write a whole segment without data or options, and return its length in octets."""
    l4 = write_ip_header(packet, version, TCP, TCP_HEADER, source, destination)
    set_u16(packet, l4 + L4_SOURCE_PORT, source_port)
    set_u16(packet, l4 + L4_DESTINATION_PORT, destination_port)
    set_u32(packet, l4 + TCP_SEQUENCE, sequence)
    set_u32(packet, l4 + TCP_ACKNOWLEDGEMENT, acknowledged)
    set_u8(packet, l4 + TCP_DATA_OFFSET, (TCP_HEADER // 4) << 4)
    set_u8(packet, l4 + TCP_FLAGS, flags)
    set_u16(packet, l4 + TCP_WINDOW, 0)
    set_u16(packet, l4 + TCP_CHECKSUM, 0)
    set_u16(packet, l4 + TCP_URGENT, 0)
    total = sum_octets(packet, l4, l4 + TCP_HEADER)
    total = fold(total + _pseudo_sum(packet, version, TCP, TCP_HEADER))
    set_u16(packet, l4 + TCP_CHECKSUM, ~total & 0xFFFF)
    return l4 + TCP_HEADER


@rare_kernel
def write_error(
    slot: Octets, frame: Frame, parsed: Parsed, source: Lanes, kind: int, code: int, rest: int
) -> None:
    """Put an ICMP error from `source` before the packet it quotes; the frame is the error then.

    The quote is as much as the size limits allow (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4),
    octet for octet as the packet came. `rest` is the header's second word: an MTU, or zero.
    """
    version = i64(parsed["version"])
    header = IP4_HEADER if version == 4 else IP6_HEADER
    limit = ICMP4_ERROR_LIMIT if version == 4 else ICMP6_ERROR_LIMIT
    quote = min(i64(parsed["end"]), limit - header - ICMP_HEADER)
    length = ICMP_HEADER + quote
    start = i64(frame["start"]) - header - ICMP_HEADER
    packet = slot[start : start + header + length]
    protocol = ICMP4 if version == 4 else ICMP6
    write_ip_header(packet, version, protocol, length, source, source_lanes(parsed))
    set_u8(packet, header + ICMP_TYPE, kind)
    set_u8(packet, header + ICMP_CODE, code)
    set_u32(packet, header + ICMP_REST, rest)
    finish_icmp(packet, version, header, header + length)
    frame["start"] = start
    frame["length"] = header + length
    set_plain(frame)
