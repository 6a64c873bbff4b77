"""A super-packet cut into its segments, where no device does it: TCP and UDP, of either version.

As Linux segments (net/ipv4/tcp_offload.c, udp_offload.c): sequence numbers and identifications
count on, FIN and PSH are the last segment's, CWR (RFC 3168) is the first one's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.checksum import fold, sum_octets, sum_pseudo_header
from natlb.wire.fields import (
    FIN,
    IP4_CHECKSUM,
    IP4_IDENTIFICATION,
    IP4_SOURCE,
    IP4_TOTAL_LENGTH,
    IP6_HEADER,
    IP6_PAYLOAD_LENGTH,
    IP6_SOURCE,
    TCP,
    TCP_CHECKSUM,
    TCP_FLAGS,
    TCP_SEQUENCE,
    UDP,
    UDP_LENGTH,
)
from natlb.wire.octets import get_u8, get_u16, get_u32, set_u8, set_u16, set_u32

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets

PSH, CWR = 0x08, 0x80
NO_SEGMENT = 0


@rare_kernel
def write_segment(packet: Octets, frame: Frame, headers: int, number: int, piece: Octets) -> int:
    """Write a super-packet's segment into `piece`; return its length, or NO_SEGMENT at the end.

    `packet` has exactly its own octets, of which `headers` stand in each segment; its offload form
    was judged by `parse()`.
    """
    size = i64(frame["gso_size"])
    at = headers + number * size
    if at >= packet.size:
        return NO_SEGMENT
    share = min(size, packet.size - at)
    for octet in range(headers):
        piece[octet] = packet[octet]
    for octet in range(share):
        piece[headers + octet] = packet[at + octet]
    end = headers + share
    l4 = i64(frame["checksum_start"])
    field = l4 + i64(frame["checksum_offset"])
    behind = packet.size - at - share
    if frame["checksum_offset"] == TCP_CHECKSUM:
        _place_tcp(piece, l4, number, number * size, behind)
        _finish(piece, l4, field, end, number, TCP)
    else:
        set_u16(piece, l4 + UDP_LENGTH, end - l4)
        _finish(piece, l4, field, end, number, UDP)
    return end


@kernel
def _place_tcp(piece: Octets, l4: int, number: int, before: int, behind: int) -> None:
    """Write a TCP segment's place in the stream, and the flags that are its own."""
    set_u32(piece, l4 + TCP_SEQUENCE, get_u32(piece, l4 + TCP_SEQUENCE) + before & 0xFFFFFFFF)
    flags = get_u8(piece, l4 + TCP_FLAGS)
    if behind > 0:
        flags &= ~(FIN | PSH) & 0xFF
    if number > 0:
        flags &= ~CWR & 0xFF
    set_u8(piece, l4 + TCP_FLAGS, flags)


@kernel
def _finish(piece: Octets, l4: int, field: int, end: int, number: int, protocol: int) -> None:
    """Write a segment's lengths and checksums."""
    set_u16(piece, field, 0)
    total = sum_octets(piece, l4, end)
    if get_u8(piece, 0) >> 4 == 4:
        identification = get_u16(piece, IP4_IDENTIFICATION) + number
        set_u16(piece, IP4_TOTAL_LENGTH, end)
        set_u16(piece, IP4_IDENTIFICATION, identification & 0xFFFF)
        set_u16(piece, IP4_CHECKSUM, 0)
        header = (get_u8(piece, 0) & 0x0F) * 4
        set_u16(piece, IP4_CHECKSUM, ~sum_octets(piece, 0, header) & 0xFFFF)
        total += sum_pseudo_header(piece, IP4_SOURCE, 8, protocol, end - l4)
    else:
        set_u16(piece, IP6_PAYLOAD_LENGTH, end - IP6_HEADER)
        total += sum_pseudo_header(piece, IP6_SOURCE, 32, protocol, end - l4)
    checksum = ~fold(total) & 0xFFFF
    set_u16(piece, field, 0xFFFF if checksum == 0 and protocol == UDP else checksum)
