"""The Ethernet header before a packet (IEEE 802.3), and an 802.1Q tag in it.

An address of six octets is two numbers: its first two octets, and its last four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel
from natlb.wire.octets import set_u16, set_u32

if TYPE_CHECKING:
    from natlb.wire.octets import Octets

ETHERNET_HEADER = 14
ETHERNET_TYPE = 12
VLAN_TAG = 4
VLAN_NUMBER = 0x0FFF  # of a tag's last two octets; above it are priority and drop eligibility

# IEEE 802 numbers, IANA
TYPE_IP4 = 0x0800
TYPE_ARP = 0x0806
TYPE_VLAN = 0x8100
TYPE_IP6 = 0x86DD

BROADCAST_HIGH, BROADCAST_LOW = 0xFFFF, 0xFFFFFFFF


@kernel
def write_addresses(
    slot: Octets, at: int, to_high: int, to_low: int, from_high: int, from_low: int
) -> None:
    """Write the twelve octets that a frame begins with: whom it is for, and who sends it."""
    set_u16(slot, at, to_high)
    set_u32(slot, at + 2, to_low)
    set_u16(slot, at + 6, from_high)
    set_u32(slot, at + 8, from_low)


@kernel
def write_type(slot: Octets, packet: int, kind: int, tag: int) -> int:
    """Write the type of a packet at `packet` before it, behind a tag if there is one.

    A tag is its four octets as one number; 0 is none. Return where the frame begins.
    """
    set_u16(slot, packet - 2, kind)
    if tag == 0:
        return packet - ETHERNET_HEADER
    set_u32(slot, packet - 2 - VLAN_TAG, tag)
    return packet - ETHERNET_HEADER - VLAN_TAG
