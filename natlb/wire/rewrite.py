"""Rewrites of a packet that `parse()` accepted: addresses, ports, TTL. Nothing is checked again.

A tracked flow's rewrite costs no arithmetic on words: the checksums' change was summed once,
when the flow was made (`core/flow_table.py`), and is folded in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from natlb.jit import i64, kernel
from natlb.wire.checksum import (
    adjust_checksum,
    adjust_partial_checksum,
    apply_delta,
    update_checksum,
)
from natlb.wire.fields import (
    IP4_CHECKSUM,
    IP4_DESTINATION,
    IP4_IDENTIFICATION,
    IP4_SOURCE,
    IP4_TTL,
    IP6_DESTINATION,
    IP6_HOP_LIMIT,
    IP6_SOURCE,
    L4_DESTINATION_PORT,
    L4_SOURCE_PORT,
)
from natlb.wire.octets import Octets, get_u8, get_u16, set_u8, set_u16, set_u32

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.parsed import Parsed

Lanes: TypeAlias = tuple[int, int, int, int]


@kernel
def set_addresses4(packet: Octets, source: int, destination: int) -> None:
    """Write an IPv4 packet's addresses; no checksum is touched."""
    set_u32(packet, IP4_SOURCE, source)
    set_u32(packet, IP4_DESTINATION, destination)


@kernel
def set_address6(packet: Octets, at: int, lanes: Lanes) -> None:
    """Write an IPv6 address at `at`; no checksum is touched."""
    set_u32(packet, at, lanes[0])
    set_u32(packet, at + 4, lanes[1])
    set_u32(packet, at + 8, lanes[2])
    set_u32(packet, at + 12, lanes[3])


@kernel
def rewrite(
    packet: Octets, frame: Frame, parsed: Parsed, key: Any, address_delta: int, transport_delta: int
) -> None:
    """Send a packet from `key`'s destination to its source instead, every checksum kept right.

    `key` is the flow's key of the other direction. Both deltas are the flow's: of the addresses,
    and of addresses and ports together. The IPv4 header's sum and an unfinished transport sum
    cover addresses alone; a finished transport sum covers both.
    """
    rewrite_addresses(packet, parsed, key, address_delta)
    rewrite_transport(packet, frame, parsed, key, address_delta, transport_delta)


@kernel
def rewrite_transport(
    packet: Octets, frame: Frame, parsed: Parsed, key: Any, address_delta: int, transport_delta: int
) -> None:
    """Write the ports that `key` has, and keep the transport sum right under them and addresses.

    Which version the addresses are of does not matter to a sum: what a v4-mapped address has more
    than an IPv4 address is 0xffff, one's complement zero.
    """
    l4 = parsed["l4"]
    set_u16(packet, l4 + L4_SOURCE_PORT, i64(key["destination_port"]))
    set_u16(packet, l4 + L4_DESTINATION_PORT, i64(key["source_port"]))
    if frame["needs_checksum"]:
        adjust_partial_checksum(packet, l4, parsed["protocol"], address_delta)
        return
    adjust_checksum(packet, l4, parsed["protocol"], transport_delta)


@kernel
def rewrite_addresses(packet: Octets, parsed: Parsed, key: Any, address_delta: int) -> None:
    """Do what `rewrite()` does to the IP header: all there is to do to a later fragment.

    The transport's sum over the whole datagram travels in the first one.
    """
    if parsed["version"] == 4:
        set_addresses4(packet, i64(key["destination3"]), i64(key["source3"]))
        header_sum = get_u16(packet, IP4_CHECKSUM)
        set_u16(packet, IP4_CHECKSUM, apply_delta(header_sum, address_delta))
    else:
        set_address6(packet, IP6_SOURCE, destination_lanes(key))
        set_address6(packet, IP6_DESTINATION, source_lanes(key))


@kernel
def source_lanes(key: Any) -> Lanes:
    """Return the source address of a packet's `Parsed` or of a flow's key."""
    return (
        i64(key["source0"]),
        i64(key["source1"]),
        i64(key["source2"]),
        i64(key["source3"]),
    )


@kernel
def destination_lanes(key: Any) -> Lanes:
    """Return the destination address of a packet's `Parsed` or of a flow's key."""
    return (
        i64(key["destination0"]),
        i64(key["destination1"]),
        i64(key["destination2"]),
        i64(key["destination3"]),
    )


@kernel
def decrease_ttl(packet: Octets, version: int) -> None:
    """Take one from the TTL or hop limit, which must not be zero."""
    if version == 6:
        set_u8(packet, IP6_HOP_LIMIT, get_u8(packet, IP6_HOP_LIMIT) - 1)
        return
    old = get_u16(packet, IP4_TTL)  # TTL and protocol share a checksummed word
    set_u16(packet, IP4_TTL, old - 0x100)
    set_u16(packet, IP4_CHECKSUM, update_checksum(get_u16(packet, IP4_CHECKSUM), old, old - 0x100))


@kernel
def set_identification(packet: Octets, identification: int) -> None:
    """Write an IPv4 packet's identification, the header's sum kept right."""
    old = get_u16(packet, IP4_IDENTIFICATION)
    set_u16(packet, IP4_IDENTIFICATION, identification)
    header_sum = get_u16(packet, IP4_CHECKSUM)
    set_u16(packet, IP4_CHECKSUM, update_checksum(header_sum, old, identification))
