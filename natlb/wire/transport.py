"""The transport header: RFC 9293 section 3.1, RFC 768, RFC 792 and RFC 4443."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel
from natlb.wire.fields import (
    ACK,
    FIN,
    ICMP4,
    ICMP6,
    ICMP_HEADER,
    L4_DESTINATION_PORT,
    L4_SOURCE_PORT,
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
from natlb.wire.frame import GSO_NONE
from natlb.wire.octets import get_u8, get_u16
from natlb.wire.parsed import FRAGMENTED, LATER_FRAGMENT
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, MALFORMED
from natlb.wire.tcp_options import are_options_whole

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed

TINY_OFFSET = 8  # RFC 1858: "FO = 1"


@kernel
def parse_transport(packet: Octets, parsed: Parsed) -> int:
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
def judge_fragment(frame: Frame, parsed: Parsed) -> int:
    """Return the verdict on a fragment's offload form and, of a later one, where it begins.

    A kernel finishes a packet's checksum before it fragments it, and a super-packet is no
    fragment. Eight octets into TCP a piece could replace the flags that its first one was judged
    by (RFC 3128); no honest sender makes a first piece that small.
    """
    if frame["needs_checksum"] or frame["gso_type"] != GSO_NONE:
        return MALFORMED
    is_tiny = parsed["protocol"] == TCP and parsed["offset"] == TINY_OFFSET
    return MALFORMED if is_tiny and parsed["kind"] & LATER_FRAGMENT else ACCEPTED


@kernel
def _parse_tcp(packet: Octets, parsed: Parsed) -> int:
    """Return the verdict on a TCP header: lengths, ports, flags that exclude each other."""
    l4 = parsed["l4"]
    if parsed["end"] - l4 < TCP_HEADER:
        return MALFORMED
    header = (get_u8(packet, l4 + TCP_DATA_OFFSET) >> 4) * 4
    flags = get_u8(packet, l4 + TCP_FLAGS)
    parsed["payload"] = l4 + header
    parsed["tcp_flags"] = flags
    if header < TCP_HEADER or l4 + header > parsed["end"] or _are_flags_illegal(flags):
        return MALFORMED
    if not are_options_whole(packet, l4, l4 + header):
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
def judge_udp_checksum(packet: Octets, frame: Frame, parsed: Parsed) -> int:
    """Refuse a UDP datagram over IPv6 without a checksum (RFC 8200 section 8.1).

    An unfinished checksum may read zero like any other sum.
    """
    if parsed["version"] == 4 or parsed["protocol"] != UDP or frame["needs_checksum"]:
        return ACCEPTED
    if get_u16(packet, parsed["l4"] + UDP_CHECKSUM) == 0:
        return BAD_CHECKSUM
    return ACCEPTED
