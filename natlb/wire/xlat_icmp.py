"""An ICMP error in the other IP version: what it says, by table, and what it quotes.

    sent      outer header │ ICMP │ quoted header │ quoted transport ... │ zeros │ extensions
    becomes   outer header │ ICMP │ quoted header │ quoted transport ... │ zeros │ extensions

The quoted transport header stays where it lies; the three headers before it are written anew, so
they end where it begins. Extensions (RFC 4884) move with the length of what is quoted.

The tables are those of RFC 7915, sections 4.2, 4.3, 5.2 and 5.3. What has no counterpart there is
not sent on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.answers import finish_icmp
from natlb.wire.checksum import adjust_checksum, checksum_offset
from natlb.wire.fields import (
    FRAGMENT,
    ICMP4,
    ICMP4_FRAGMENTATION_NEEDED,
    ICMP4_PARAMETER_PROBLEM,
    ICMP4_TIME_EXCEEDED,
    ICMP4_UNREACHABLE,
    ICMP6,
    ICMP6_PACKET_TOO_BIG,
    ICMP6_PARAMETER_PROBLEM,
    ICMP6_TIME_EXCEEDED,
    ICMP6_UNREACHABLE,
    ICMP_HEADER,
    ICMP_LEAST_EXTENDED_QUOTE,
    ICMP_REST,
    ICMP_TYPE,
    IP4_DONT_FRAGMENT,
    IP4_HEADER,
    IP4_MORE_FRAGMENTS,
    IP4_TOTAL_LENGTH,
    IP6_DESTINATION,
    IP6_FRAGMENT_HEADER,
    IP6_HEADER,
    IP6_MORE_FRAGMENTS,
    IP6_NEXT_HEADER,
    IP6_PAYLOAD_LENGTH,
    IP6_SOURCE,
    L4_DESTINATION_PORT,
    L4_SOURCE_PORT,
)
from natlb.wire.frame import set_plain
from natlb.wire.octets import Octets, get_u8, get_u16, get_u32, set_u16, set_u32
from natlb.wire.parsed import FRAGMENTED
from natlb.wire.rewrite import (
    Lanes,
    destination_lanes,
    set_address6,
    set_addresses4,
    source_lanes,
)
from natlb.wire.xlat import (
    finish_header4,
    write_fragment_header,
    write_header4,
    write_header6,
)

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.parsed import Parsed

UNMAPPED = -1

# Type and code by the code of an IPv4 "unreachable", 0 to 15
_NO_ROUTE6 = ICMP6_UNREACHABLE << 8
_PROHIBITED6 = ICMP6_UNREACHABLE << 8 | 1
UNREACHABLE_TO6 = (
    *(_NO_ROUTE6, _NO_ROUTE6),  # net, host
    ICMP6_PARAMETER_PROBLEM << 8 | 1,  # protocol: an unrecognized next header
    ICMP6_UNREACHABLE << 8 | 4,  # port
    ICMP6_PACKET_TOO_BIG << 8,
    *(_NO_ROUTE6, _NO_ROUTE6, _NO_ROUTE6, _NO_ROUTE6),  # source route; unknown; isolated
    *(_PROHIBITED6, _PROHIBITED6),
    *(_NO_ROUTE6, _NO_ROUTE6),  # for this type of service
    _PROHIBITED6,
    UNMAPPED,  # host precedence violation
    _PROHIBITED6,
)
# and by the code of an IPv6 one, 0 to 4
_HOST_UNREACHABLE4 = ICMP4_UNREACHABLE << 8 | 1
UNREACHABLE_TO4 = (
    _HOST_UNREACHABLE4,
    ICMP4_UNREACHABLE << 8 | 10,
    _HOST_UNREACHABLE4,
    _HOST_UNREACHABLE4,
    ICMP4_UNREACHABLE << 8 | 3,
)
# The octet of the other header that an octet of this one is (figures 3 and 6)
_NO = UNMAPPED
POINTER_TO6 = (0, 1, 4, 4, _NO, _NO, _NO, _NO, 7, 6, _NO, _NO, *(8,) * 4, *(24,) * 4)
POINTER_TO4 = (0, 1, _NO, _NO, 2, 2, 9, 8, *(12,) * 16, *(16,) * 16)
# Path MTUs there are: RFC 1191 section 7
PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006)


@rare_kernel
def map_to6(kind: int, code: int) -> int:
    """Return type << 8 | code of the ICMPv6 error that an ICMPv4 one becomes, or UNMAPPED."""
    if kind == ICMP4_UNREACHABLE and code < len(UNREACHABLE_TO6):
        return UNREACHABLE_TO6[code]
    if kind == ICMP4_TIME_EXCEEDED:
        return ICMP6_TIME_EXCEEDED << 8 | code
    if kind == ICMP4_PARAMETER_PROBLEM and (code == 0 or code == 2):
        return ICMP6_PARAMETER_PROBLEM << 8
    return UNMAPPED


@rare_kernel
def map_to4(kind: int, code: int) -> int:
    """Return type << 8 | code of the ICMPv4 error that an ICMPv6 one becomes, or UNMAPPED."""
    if kind == ICMP6_UNREACHABLE and code < len(UNREACHABLE_TO4):
        return UNREACHABLE_TO4[code]
    if kind == ICMP6_PACKET_TOO_BIG:
        return ICMP4_UNREACHABLE << 8 | ICMP4_FRAGMENTATION_NEEDED
    if kind == ICMP6_TIME_EXCEEDED:
        return ICMP4_TIME_EXCEEDED << 8 | code
    if kind == ICMP6_PARAMETER_PROBLEM and code == 0:
        return ICMP4_PARAMETER_PROBLEM << 8
    if kind == ICMP6_PARAMETER_PROBLEM and code == 1:
        return ICMP4_UNREACHABLE << 8 | 2
    return UNMAPPED


@rare_kernel
def pointer_to6(packet: Octets, l4: int) -> int:
    """Return the pointer of an ICMPv4 error as one into an IPv6 header, or UNMAPPED.

    "Protocol unreachable" has none: it is about the next header.
    """
    if get_u8(packet, l4 + ICMP_TYPE) == ICMP4_UNREACHABLE:
        return IP6_NEXT_HEADER
    pointer = get_u8(packet, l4 + ICMP_REST)
    return POINTER_TO6[pointer] if pointer < len(POINTER_TO6) else UNMAPPED


@rare_kernel
def pointer_to4(packet: Octets, l4: int) -> int:
    """Return the pointer of an ICMPv6 error as one into an IPv4 header, or UNMAPPED."""
    pointer = get_u32(packet, l4 + ICMP_REST)
    return POINTER_TO4[pointer] if pointer < len(POINTER_TO4) else UNMAPPED


@rare_kernel
def plateau_below(length: int) -> int:
    """Return the largest usual MTU below a packet's length: of routers that name none (RFC 1191).

    The lowest are left out: to an IPv6 sender they are all 1280.
    """
    for plateau in PLATEAUS:
        if plateau < length:
            return plateau
    return PLATEAUS[-1]


@rare_kernel
def put_error(
    slot: Octets,
    frame: Frame,
    parsed: Parsed,
    quote: Parsed,
    field: int,
    key: Any,
    delta: int,
    ttl: int,
    word: int,
    says: int,
    rest: int,
    limit: int,
) -> None:
    """Make an ICMP error one of the other version, from `key`'s destination to its source.

    `quote` is what was learnt of the quoted packet, `field` how many octets are before extensions;
    `delta` is that of answers to the quoted packet: the same words change. `says` is type and code,
    `rest` the word behind the checksum but for the length of what is quoted, `word` the outer
    IPv4 header's second one. No more than `limit` octets are sent.
    """
    version = 10 - i64(parsed["version"])
    outer = IP6_HEADER if version == 6 else IP4_HEADER
    begin = i64(frame["start"])
    service = _type_of_service(slot, begin)
    at = begin + i64(parsed["l4"]) + ICMP_HEADER
    end = begin + i64(parsed["end"])
    inner = _put_quoted_header(slot, at, quote, key)
    _put_quoted_ports(slot[at : at + quote["end"]], quote, key, delta)
    start = inner - ICMP_HEADER - outer
    room = limit - outer - ICMP_HEADER
    share = 0
    if _may_be_extended(version, says):
        share = _share_of_quote(at + i64(quote["end"]) - inner, end - at - field, room, version)
    if share:
        move_octets(slot, at + field, inner + share, end - at - field)
        for zero in range(min(at + i64(quote["end"]), inner + share), inner + share):
            slot[zero] = 0
        rest |= (share // 8) << 24 if version == 6 else (share // 4) << 16
        length = share + end - at - field
    else:
        length = min(at + i64(quote["end"]) - inner, room)
    packet = slot[start : inner + length]
    set_u16(packet, outer + ICMP_TYPE, says)
    set_u32(packet, outer + ICMP_REST, rest)
    _put_outer_header(packet, version, service, ttl, word, key)
    finish_icmp(packet, version, outer, packet.size)
    frame["start"] = start
    frame["length"] = packet.size
    set_plain(frame)


@kernel
def _type_of_service(packet: Octets, at: int) -> int:
    """Return the type of service, or traffic class, of the IP header at `at`."""
    if get_u8(packet, at) >> 4 == 4:
        return get_u8(packet, at + 1)
    return get_u16(packet, at) >> 4 & 0xFF


@rare_kernel
def _put_quoted_header(slot: Octets, at: int, quote: Parsed, key: Any) -> int:
    """Write the quoted packet's header as its sender wrote it, and return where it begins now.

    It said how long the whole packet was, and more is not known: IPv4's identification of what was
    no fragment is 0, and IPv6's flow label.
    """
    service = _type_of_service(slot, at)
    l4, ttl, protocol = i64(quote["l4"]), i64(quote["ttl"]), i64(quote["protocol"])
    is_piece = quote["kind"] & FRAGMENTED != 0
    if quote["version"] == 6:
        length = max(0, get_u16(slot, at + IP6_PAYLOAD_LENGTH) + IP6_HEADER - l4)
        word = IP4_DONT_FRAGMENT
        if is_piece:
            word = i64(quote["identification"] & 0xFFFF) << 16 | IP4_MORE_FRAGMENTS
        packet = slot[at + l4 - IP4_HEADER : at + l4]
        write_header4(packet, service, length, word, ttl, protocol)
        _put_addresses4(packet, source_lanes(key), destination_lanes(key))
        return at + l4 - IP4_HEADER
    length = max(0, get_u16(slot, at + IP4_TOTAL_LENGTH) - l4)
    extra = IP6_FRAGMENT_HEADER if is_piece else 0
    packet = slot[at + l4 - IP6_HEADER - extra : at + l4]
    write_header6(packet, service, length + extra, ttl, FRAGMENT if is_piece else protocol)
    _put_addresses6(packet, source_lanes(key), destination_lanes(key))
    if is_piece:
        write_fragment_header(packet, protocol, IP6_MORE_FRAGMENTS, i64(quote["identification"]))
    return at + l4 - IP6_HEADER - extra


@rare_kernel
def _put_quoted_ports(octets: Octets, quote: Parsed, key: Any, delta: int) -> None:
    """Write the quoted packet's ports as its sender wrote them, and its checksum where it is there.

    It is not judged: it covers octets that are not here (RFC 5508 REQ-3c).
    """
    l4, protocol = i64(quote["l4"]), i64(quote["protocol"])
    set_u16(octets, l4 + L4_SOURCE_PORT, i64(key["source_port"]))
    set_u16(octets, l4 + L4_DESTINATION_PORT, i64(key["destination_port"]))
    if l4 + checksum_offset(protocol) + 2 <= quote["end"]:
        adjust_checksum(octets, l4, protocol, delta)


@kernel
def _may_be_extended(version: int, says: int) -> bool:
    """Return whether an error of this type has a field for the length of what it quotes.

    Of those that come from the other version: unreachable and time exceeded (RFC 4884 section 4).
    "Too big" of IPv4 has one, but that of IPv6, which it is made from, brings no extensions.
    """
    kind = says >> 8
    if version == 6:
        return kind == ICMP6_UNREACHABLE or kind == ICMP6_TIME_EXCEEDED
    return kind == ICMP4_UNREACHABLE or kind == ICMP4_TIME_EXCEEDED


@kernel
def _share_of_quote(quoted: int, extensions: int, room: int, version: int) -> int:
    """Return how many octets are before the extensions, or 0 where there are none that fit.

    At least 128, and as many as the length field can say (RFC 4884 sections 3 and 4.6).
    """
    unit = 8 if version == 6 else 4
    most = min((room - extensions) & -unit, 255 * unit)
    if extensions == 0 or most < ICMP_LEAST_EXTENDED_QUOTE:
        return 0
    return min(max((quoted + unit - 1) & -unit, ICMP_LEAST_EXTENDED_QUOTE), most)


@kernel
def _put_outer_header(
    packet: Octets, version: int, service: int, ttl: int, word: int, key: Any
) -> None:
    """Write the header of the error itself, from `key`'s destination to its source."""
    if version == 6:
        write_header6(packet, service, packet.size - IP6_HEADER, ttl, ICMP6)
        _put_addresses6(packet, destination_lanes(key), source_lanes(key))
    else:
        write_header4(packet, service, packet.size - IP4_HEADER, word, ttl, ICMP4)
        _put_addresses4(packet, destination_lanes(key), source_lanes(key))


@kernel
def _put_addresses4(packet: Octets, source: Lanes, destination: Lanes) -> None:
    """Write an IPv4 header's addresses, and its sum."""
    set_addresses4(packet, source[3], destination[3])
    finish_header4(packet)


@kernel
def _put_addresses6(packet: Octets, source: Lanes, destination: Lanes) -> None:
    """Write an IPv6 header's addresses."""
    set_address6(packet, IP6_SOURCE, source)
    set_address6(packet, IP6_DESTINATION, destination)


@rare_kernel
def move_octets(slot: Octets, source: int, target: int, count: int) -> None:
    """Move octets within a slot, whichever way and however they overlap."""
    if target > source:
        for at in range(count - 1, -1, -1):
            slot[target + at] = slot[source + at]
    else:
        for at in range(count):
            slot[target + at] = slot[source + at]
