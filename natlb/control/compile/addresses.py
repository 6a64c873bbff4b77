"""Addresses as four 32-bit lanes and back: IPv4 as ::ffff:a.b.c.d."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Address = IPv4Address | IPv6Address
Lanes = tuple[int, int, int, int]
MAPPED = 0xFFFF


def lanes_of(address: Address) -> Lanes:
    """Return an address's lanes, the highest first."""
    return lanes_of_number(int(address) | (MAPPED << 32 if address.version == 4 else 0))


def lanes_of_number(number: int) -> Lanes:
    """Return the lanes of an address as one number of 128 bits."""
    return (
        number >> 96 & 0xFFFFFFFF,
        number >> 64 & 0xFFFFFFFF,
        number >> 32 & 0xFFFFFFFF,
        number & 0xFFFFFFFF,
    )


def address_of(lanes: Sequence[int]) -> Address:
    """Return the address that four lanes hold."""
    high, second, third, low = (int(lane) for lane in lanes)
    if high == second == 0 and third == MAPPED:
        return IPv4Address(low)
    return IPv6Address(high << 96 | second << 64 | third << 32 | low)


def endpoint(address: Address, port: int) -> str:
    """Return `address:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
