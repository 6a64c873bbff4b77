"""The packet that an ICMP error quotes: read as safely as any other, and rewritten.

A quote is cut short: of the transport header eight octets are enough to know the flow (RFC 792),
and its lengths and checksums speak of octets that nobody has. So it is no packet for `parse()`,
and what is learnt of it is less. A quote is a view of its own octets, and every offset in its
record counts from its first.

RFC 4884 puts extensions behind it, and says in a length field where: they are not looked at and
not changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.answers import finish_icmp, is_error_type, is_icmp, is_icmp_sum_right
from natlb.wire.checksum import (
    NO_DELTA,
    add_delta,
    adjust_checksum,
    apply_delta,
    checksum_offset,
    sum_octets,
)
from natlb.wire.fields import (
    FRAGMENT,
    ICMP4_LENGTH,
    ICMP4_PARAMETER_PROBLEM,
    ICMP4_TIME_EXCEEDED,
    ICMP4_UNREACHABLE,
    ICMP6_LENGTH,
    ICMP6_PACKET_TOO_BIG,
    ICMP6_PARAMETER_PROBLEM,
    ICMP6_TIME_EXCEEDED,
    ICMP6_UNREACHABLE,
    ICMP_HEADER,
    ICMP_LEAST_EXTENDED_QUOTE,
    ICMP_REST,
    ICMP_TYPE,
    IP4_CHECKSUM,
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
    IP6_MINIMUM_MTU,
    IP6_NEXT_HEADER,
    IP6_PAYLOAD_LENGTH,
    IP6_SOURCE,
    L4_DESTINATION_PORT,
    L4_SOURCE_PORT,
    TCP,
    UDP,
)
from natlb.wire.network import (
    MOST_EXTENSION_HEADERS,
    extension_header_length,
    is_extension_header,
    read_address4,
    read_address6,
)
from natlb.wire.octets import get_u8, get_u16, get_u32, set_u16
from natlb.wire.parsed import FRAGMENTED, PLAIN, UNTRANSLATABLE
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, ICMP_UNMATCHED, MALFORMED, UNSUPPORTED
from natlb.wire.rewrite import Lanes, destination_lanes, set_address6, set_addresses4, source_lanes

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed

LEAST_QUOTED = 8  # octets of a transport header, from which a flow is known (RFC 792)
LYING = -1


@rare_kernel
def judge_error(packet: Octets, frame: Frame, parsed: Parsed) -> int:
    """Return ACCEPTED for a sound ICMP error of a type that quotes, or the reason to refuse it.

    Source quench and redirects are not among them (RFC 6633; RFC 1812 section 5.2.7.2), nor types
    that nobody knows. A link of IPv6 takes 1280 octets, so that "too big" for less cannot be: it
    would have the sender fragment what it need not (RFC 8201 section 4, RFC 8021).
    """
    kind = get_u8(packet, parsed["l4"] + ICMP_TYPE)
    if parsed["kind"] & (UNTRANSLATABLE | FRAGMENTED) or not _is_known(parsed["version"], kind):
        return UNSUPPORTED
    if not is_icmp_sum_right(packet, frame, parsed):
        return BAD_CHECKSUM
    if parsed["version"] == 4 or kind != ICMP6_PACKET_TOO_BIG:
        return ACCEPTED
    return ACCEPTED if get_u32(packet, parsed["l4"] + ICMP_REST) >= IP6_MINIMUM_MTU else MALFORMED


@kernel
def _is_known(version: int, kind: int) -> bool:
    """Return whether this type of ICMP error is one that natlb translates."""
    if version == 6:
        return ICMP6_UNREACHABLE <= kind <= ICMP6_PARAMETER_PROBLEM
    return (
        kind == ICMP4_UNREACHABLE or kind == ICMP4_TIME_EXCEEDED or kind == ICMP4_PARAMETER_PROBLEM
    )


@kernel
def quote_start(parsed: Parsed) -> int:
    """Return where an ICMP error's quote begins."""
    return i64(parsed["l4"]) + ICMP_HEADER


@kernel
def quote_end(packet: Octets, parsed: Parsed) -> int:
    """Return where a quote ends, or LYING where its length field says what cannot be.

    Behind it are the extensions, if there are any. Without a length all of the rest is taken for
    the quote: as old routers put extensions there (RFC 4884 section 5), nothing of them changes.
    Too big and parameter problem of IPv6 have no such field (section 4.6).
    """
    l4, end = i64(parsed["l4"]), i64(parsed["end"])
    kind = get_u8(packet, l4 + ICMP_TYPE)
    if parsed["version"] == 4:
        octets = 4 * get_u8(packet, l4 + ICMP4_LENGTH)
    elif kind == ICMP6_UNREACHABLE or kind == ICMP6_TIME_EXCEEDED:
        octets = 8 * get_u8(packet, l4 + ICMP6_LENGTH)
    else:
        octets = 0
    if octets == 0:
        return end
    said = l4 + ICMP_HEADER + octets
    return LYING if octets < ICMP_LEAST_EXTENDED_QUOTE or said > end else said


@rare_kernel
def parse_quote(packet: Octets, parsed: Parsed, quote: Parsed) -> int:
    """Fill `quote`, a record of PARSED, from what an ICMP error quotes; return ACCEPTED or why not.

    Of an accepted quote `version`, `ttl`, `protocol`, addresses, ports (0 where there are none),
    `l4`, `end`, `dont_fragment` and `identification` are valid, and `kind` says FRAGMENTED of a
    datagram's first piece. `end` is where the quoted octets end that were the packet's: zeros that
    fill up to extensions are behind it. For TCP and UDP eight octets from `l4` on are there.
    """
    end = quote_end(packet, parsed)
    if end == LYING:
        return MALFORMED
    octets = packet[quote_start(parsed) : end]
    version = i64(parsed["version"])
    quote["version"] = version
    quote["kind"] = PLAIN
    quote["source_port"] = 0
    quote["destination_port"] = 0
    if octets.size < (IP4_HEADER if version == 4 else IP6_HEADER):
        return ICMP_UNMATCHED
    if get_u8(octets, 0) >> 4 != version:
        return ICMP_UNMATCHED
    refusal = _parse_ip4(octets, quote) if version == 4 else _parse_ip6(octets, quote)
    if refusal != ACCEPTED:
        return refusal
    return _parse_transport(octets, quote)


@kernel
def _parse_ip4(octets: Octets, quote: Parsed) -> int:
    """Return the verdict on a quoted IPv4 header; a wrong sum is not mended (RFC 5508 REQ-3)."""
    header = (get_u8(octets, 0) & 0x0F) * 4
    fragment = get_u16(octets, IP4_FRAGMENT)
    if header < IP4_HEADER or header > octets.size:
        return ICMP_UNMATCHED
    if sum_octets(octets, 0, header) != 0xFFFF:
        return BAD_CHECKSUM
    if fragment & IP4_FRAGMENT_OFFSET:
        return ICMP_UNMATCHED
    quote["l4"] = header
    quote["end"] = min(octets.size, get_u16(octets, IP4_TOTAL_LENGTH))
    quote["ttl"] = get_u8(octets, IP4_TTL)
    quote["protocol"] = get_u8(octets, IP4_PROTOCOL)
    quote["dont_fragment"] = 1 if fragment & IP4_DONT_FRAGMENT else 0
    quote["identification"] = get_u16(octets, IP4_IDENTIFICATION)
    if fragment & IP4_MORE_FRAGMENTS:
        quote["kind"] = FRAGMENTED
    read_address4(octets, quote)
    return ACCEPTED


@kernel
def _parse_ip6(octets: Octets, quote: Parsed) -> int:
    """Return the verdict on a quoted IPv6 header and the extension headers behind it."""
    quote["end"] = min(octets.size, IP6_HEADER + get_u16(octets, IP6_PAYLOAD_LENGTH))
    quote["ttl"] = get_u8(octets, IP6_HOP_LIMIT)
    quote["dont_fragment"] = 1
    quote["identification"] = 0
    read_address6(octets, quote)
    following = get_u8(octets, IP6_NEXT_HEADER)
    at = IP6_HEADER
    for _ in range(MOST_EXTENSION_HEADERS + 1):
        if not is_extension_header(following):
            quote["protocol"] = following
            quote["l4"] = at
            return ACCEPTED
        if at + 8 > quote["end"] or (following == FRAGMENT and not _note_first(octets, quote, at)):
            return ICMP_UNMATCHED
        length = extension_header_length(octets, at, following)
        following = get_u8(octets, at)
        at += length
    return ICMP_UNMATCHED


@kernel
def _note_first(octets: Octets, quote: Parsed, at: int) -> bool:
    """Return whether a fragment header is that of a datagram's first piece, and keep that."""
    field = get_u16(octets, at + 2)
    quote["identification"] = get_u32(octets, at + 4)
    if field & 1:
        quote["kind"] = FRAGMENTED
    return field & 0xFFF8 == 0


@kernel
def _parse_transport(octets: Octets, quote: Parsed) -> int:
    """Return the verdict on a quoted transport header, and keep its ports.

    Nothing may be told about an ICMP error (RFC 1812 section 4.3.2.7). Other protocols than those
    that services carry are nothing to look into.
    """
    l4, protocol = i64(quote["l4"]), i64(quote["protocol"])
    if protocol != TCP and protocol != UDP and not is_icmp(quote):
        return ACCEPTED
    if l4 + LEAST_QUOTED > quote["end"]:
        return ICMP_UNMATCHED
    if is_icmp(quote):
        is_error = is_error_type(i64(quote["version"]), get_u8(octets, l4 + ICMP_TYPE))
        return ICMP_UNMATCHED if is_error else ACCEPTED
    quote["source_port"] = get_u16(octets, l4 + L4_SOURCE_PORT)
    quote["destination_port"] = get_u16(octets, l4 + L4_DESTINATION_PORT)
    return ACCEPTED


@rare_kernel
def exchange_ends(quote: Parsed, answering: Parsed) -> None:
    """Write the key of packets that would answer the quoted one."""
    answering["source0"] = quote["destination0"]
    answering["source1"] = quote["destination1"]
    answering["source2"] = quote["destination2"]
    answering["source3"] = quote["destination3"]
    answering["destination0"] = quote["source0"]
    answering["destination1"] = quote["source1"]
    answering["destination2"] = quote["source2"]
    answering["destination3"] = quote["source3"]
    answering["source_port"] = quote["destination_port"]
    answering["destination_port"] = quote["source_port"]


@rare_kernel
def rewrite_quote(
    octets: Octets, quote: Parsed, key: Any, address_delta: int, transport_delta: int
) -> None:
    """Make a quote one of a packet from `key`'s source to its destination, as that one was sent.

    The deltas are those of a packet the other way: the same words change, in the other's places.
    The quoted transport checksum changes where it is quoted, and is not judged: it may be wrong or
    unfinished, and covers octets that are not here (RFC 5508 REQ-3c).
    """
    if quote["version"] == 4:
        set_addresses4(octets, i64(key["source3"]), i64(key["destination3"]))
        header_sum = get_u16(octets, IP4_CHECKSUM)
        set_u16(octets, IP4_CHECKSUM, apply_delta(header_sum, address_delta))
    else:
        set_address6(octets, IP6_SOURCE, source_lanes(key))
        set_address6(octets, IP6_DESTINATION, destination_lanes(key))
    l4, protocol = i64(quote["l4"]), i64(quote["protocol"])
    set_u16(octets, l4 + L4_SOURCE_PORT, i64(key["source_port"]))
    set_u16(octets, l4 + L4_DESTINATION_PORT, i64(key["destination_port"]))
    if l4 + checksum_offset(protocol) + 2 <= quote["end"]:
        adjust_checksum(octets, l4, protocol, transport_delta)


@rare_kernel
def readdress_error(packet: Octets, parsed: Parsed, source: Lanes, destination: Lanes) -> None:
    """Send an ICMP error from one address to another instead, its checksum computed anew.

    What it quotes was changed before, and its own checksum was right before that.
    """
    if parsed["version"] == 4:
        header_sum = get_u16(packet, IP4_CHECKSUM)
        header_sum = apply_delta(header_sum, _address_delta(packet, source[3], destination[3]))
        set_addresses4(packet, source[3], destination[3])
        set_u16(packet, IP4_CHECKSUM, header_sum)
    else:
        set_address6(packet, IP6_SOURCE, source)
        set_address6(packet, IP6_DESTINATION, destination)
    finish_icmp(packet, i64(parsed["version"]), i64(parsed["l4"]), i64(parsed["end"]))


@kernel
def _address_delta(packet: Octets, source: int, destination: int) -> int:
    """Return what two new addresses change in the sum of an IPv4 header."""
    delta = add_delta(NO_DELTA, get_u16(packet, IP4_SOURCE), source >> 16)
    delta = add_delta(delta, get_u16(packet, IP4_SOURCE + 2), source & 0xFFFF)
    delta = add_delta(delta, get_u16(packet, IP4_DESTINATION), destination >> 16)
    return add_delta(delta, get_u16(packet, IP4_DESTINATION + 2), destination & 0xFFFF)
