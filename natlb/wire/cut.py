"""A packet cut into fragments (RFC 791 section 3.2): also one that is a fragment itself.

IPv6 is not cut on its way; what came as IPv4 and leaves as IPv6 is (RFC 7915 section 4.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel
from natlb.wire.checksum import sum_octets
from natlb.wire.fields import (
    IP4_CHECKSUM,
    IP4_FRAGMENT,
    IP4_FRAGMENT_OFFSET,
    IP4_HEADER,
    IP4_MORE_FRAGMENTS,
    IP4_PROTOCOL,
    IP4_TOTAL_LENGTH,
    IP6_FRAGMENT_HEADER,
    IP6_HEADER,
    IP6_PAYLOAD_LENGTH,
    UDP,
)
from natlb.wire.frame import set_plain
from natlb.wire.octets import get_u8, get_u16, set_u16

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets

FRAGMENT_PLACE = 2  # in IPv6's fragment header: offset and "more"


@kernel
def header_of_pieces(packet: Octets) -> int:
    """Return how many octets each piece of a packet begins with.

    That is a plain IPv4 header, or a plain IPv6 header and the fragment header behind it.
    """
    return IP4_HEADER if get_u8(packet, 0) >> 4 == 4 else IP6_HEADER + IP6_FRAGMENT_HEADER


@kernel
def share_of_piece(mtu: int, header: int) -> int:
    """Return how many octets of payload a piece has: as many eights as fit behind its header.

    Every way carries 68 octets (RFC 791), of IPv6 1280 (RFC 8200): there is always room for some.
    """
    return max(8, (mtu - header) & ~7)


@kernel
def finish_checksum(packet: Octets, frame: Frame) -> None:
    """Finish a transport checksum that was left to the device: a device sees single pieces only.

    Its field holds the pseudo-header's sum, which thereby is part of what is summed.
    """
    if not frame["needs_checksum"]:
        return
    start = frame["checksum_start"]
    checksum = ~sum_octets(packet, start, packet.size) & 0xFFFF
    is_ip4 = get_u8(packet, 0) >> 4 == 4
    if checksum == 0 and get_u8(packet, IP4_PROTOCOL if is_ip4 else IP6_HEADER) == UDP:
        checksum = 0xFFFF
    set_u16(packet, start + frame["checksum_offset"], checksum)
    set_plain(frame)


@kernel
def write_piece(packet: Octets, piece: Octets, header: int, at: int) -> None:
    """Fill `piece` with the packet's `header` octets and those from `at` on.

    `packet` has exactly its own octets, and `at` is a multiple of eight behind the header. The
    last piece says "more" only where the packet did.
    """
    size = piece.size - header
    for octet in range(header):
        piece[octet] = packet[octet]
    for octet in range(size):
        piece[header + octet] = packet[at + octet]
    before = at - header
    behind = packet.size - at - size
    if header == IP4_HEADER:
        _place_piece4(piece, before // 8, behind)
    else:
        _place_piece6(piece, before, behind)


@kernel
def _place_piece4(piece: Octets, before: int, behind: int) -> None:
    """Write an IPv4 piece's length and place, with `before` in eights, and its header's sum."""
    field = get_u16(piece, IP4_FRAGMENT)
    more = IP4_MORE_FRAGMENTS if behind else field & IP4_MORE_FRAGMENTS
    set_u16(piece, IP4_TOTAL_LENGTH, piece.size)
    set_u16(piece, IP4_FRAGMENT, more | (field & IP4_FRAGMENT_OFFSET) + before)
    set_u16(piece, IP4_CHECKSUM, 0)
    set_u16(piece, IP4_CHECKSUM, ~sum_octets(piece, 0, IP4_HEADER) & 0xFFFF)


@kernel
def _place_piece6(piece: Octets, before: int, behind: int) -> None:
    """Write an IPv6 piece's length and place (RFC 8200 section 4.5)."""
    at = IP6_HEADER + FRAGMENT_PLACE
    field = get_u16(piece, at)
    more = 1 if behind else field & 1
    set_u16(piece, IP6_PAYLOAD_LENGTH, piece.size - IP6_HEADER)
    set_u16(piece, at, more | (field & ~7 & 0xFFFF) + before)
