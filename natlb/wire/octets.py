"""Network-order fields in a buffer of octets. Every other file holds integers in host order.

A packet is a view of exactly its own octets, so that an offset past its end is an IndexError
even where the buffer goes on.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from natlb.jit import i64, kernel

Octets: TypeAlias = NDArray[np.uint8]


@kernel
def get_u8(packet: Octets, at: int) -> int:
    """Return the octet at `at`."""
    return i64(packet[at])


@kernel
def get_u16(packet: Octets, at: int) -> int:
    """Return the 16-bit field at `at`."""
    return i64(packet[at]) << 8 | i64(packet[at + 1])


@kernel
def get_u32(packet: Octets, at: int) -> int:
    """Return the 32-bit field at `at`."""
    return get_u16(packet, at) << 16 | get_u16(packet, at + 2)


@kernel
def set_u8(packet: Octets, at: int, value: int) -> None:
    """Write the octet at `at`."""
    packet[at] = value & 0xFF


@kernel
def set_u16(packet: Octets, at: int, value: int) -> None:
    """Write the 16-bit field at `at`."""
    packet[at] = (value >> 8) & 0xFF
    packet[at + 1] = value & 0xFF


@kernel
def set_u32(packet: Octets, at: int, value: int) -> None:
    """Write the 32-bit field at `at`."""
    set_u16(packet, at, value >> 16)
    set_u16(packet, at + 2, value & 0xFFFF)
