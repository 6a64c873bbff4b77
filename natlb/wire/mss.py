"""The maximum segment size that an end of TCP announces, lowered on its way (RFC 9293, 3.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import i64, rare_kernel
from natlb.wire.checksum import update_checksum
from natlb.wire.fields import (
    TCP_CHECKSUM,
    TCP_HEADER,
    TCP_MSS_LENGTH,
    TCP_OPTION_END,
    TCP_OPTION_MSS,
)
from natlb.wire.octets import get_u8, get_u16, set_u16
from natlb.wire.tcp_options import option_size

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed


@rare_kernel
def clamp_mss(packet: Octets, frame: Frame, parsed: Parsed, limit: int) -> None:
    """Lower a SYN's MSS options to `limit`; none is raised, and none is added.

    The walk ends at the first option that cannot be.
    """
    at, end = i64(parsed["l4"]) + TCP_HEADER, i64(parsed["payload"])
    while at < end:
        kind, size = get_u8(packet, at), option_size(packet, at, end)
        if kind == TCP_OPTION_END or size == 0:
            return
        if kind == TCP_OPTION_MSS and size == TCP_MSS_LENGTH:
            _lower(packet, frame, parsed, at + 2, limit)
        at += size


@rare_kernel
def _lower(packet: Octets, frame: Frame, parsed: Parsed, at: int, limit: int) -> None:
    """Write `limit` over the number at `at` if it is lower, and keep the checksum right.

    At an odd offset the number's octets lie in two words, the other way round. A sum that the
    device is to finish covers no option yet.
    """
    old = get_u16(packet, at)
    if old <= limit:
        return
    set_u16(packet, at, limit)
    if frame["needs_checksum"]:
        return
    field = parsed["l4"] + TCP_CHECKSUM
    checksum = get_u16(packet, field)
    if (at - parsed["l4"]) & 1:
        checksum = update_checksum(checksum, _swapped(old), _swapped(limit))
    else:
        checksum = update_checksum(checksum, old, limit)
    set_u16(packet, field, checksum)


@rare_kernel
def _swapped(word: int) -> int:
    """Return a word with its octets exchanged."""
    return (word & 0xFF) << 8 | word >> 8
