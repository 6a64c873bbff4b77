"""The options of a TCP header, looked for one by one (RFC 9293 section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import TCP_HEADER, TCP_OPTION_END, TCP_OPTION_NOTHING
from natlb.wire.octets import Octets, get_u8, get_u32

if TYPE_CHECKING:
    from natlb.wire.parsed import Parsed

SMALLEST_OPTION = 2  # kind and length
ALIGNED_TIMESTAMP = 0x0101080A  # how nearly all segments begin theirs (RFC 7323 appendix A)
TIMESTAMP_HEADER = TCP_HEADER + 12


@rare_kernel
def find_option(packet: Octets, parsed: Parsed, kind: int, length: int) -> int:
    """Return where a segment's first option of this kind and length lies; 0 where it has none."""
    at = i64(parsed["l4"]) + TCP_HEADER
    end = i64(parsed["payload"])
    while at < end:
        found = get_u8(packet, at)
        size = option_size(packet, at, end)
        if found == TCP_OPTION_END or size == 0:
            return 0
        if found == kind and size == length:
            return at
        at += size
    return 0


@kernel
def option_size(packet: Octets, at: int, end: int) -> int:
    """Return how many octets an option takes; 0 where its length cannot be."""
    if get_u8(packet, at) <= TCP_OPTION_NOTHING:
        return 1
    if at + SMALLEST_OPTION > end:
        return 0
    size = get_u8(packet, at + 1)
    return 0 if size < SMALLEST_OPTION or at + size > end else size


@kernel
def are_options_whole(packet: Octets, l4: int, payload: int) -> bool:
    """Return whether each option of a header ends within it; most headers need one comparison."""
    if payload == l4 + TCP_HEADER:
        return True
    if payload == l4 + TIMESTAMP_HEADER and get_u32(packet, l4 + TCP_HEADER) == ALIGNED_TIMESTAMP:
        return True
    return _walk_options(packet, l4, payload)


@rare_kernel
def _walk_options(packet: Octets, l4: int, payload: int) -> bool:
    """Do `are_options_whole()` option by option."""
    at = l4 + TCP_HEADER
    while at < payload:
        size = option_size(packet, at, payload)
        if size == 0:
            return False
        if get_u8(packet, at) == TCP_OPTION_END:
            return True
        at += size
    return True
