"""ARP over Ethernet for IPv4: who asks for an address, and the answer (RFC 826)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import rare_kernel
from natlb.wire.ethernet import TYPE_IP4
from natlb.wire.octets import get_u8, get_u16, get_u32, set_u16, set_u32

if TYPE_CHECKING:
    from natlb.wire.octets import Octets

# Behind the Ethernet header
ARP_HARDWARE = 0
ARP_PROTOCOL = 2
ARP_LENGTHS = 4
ARP_OPERATION = 6
ARP_SENDER = 8  # its hardware address; its own address behind it
ARP_SENDER_ADDRESS = 14
ARP_TARGET = 18
ARP_TARGET_ADDRESS = 24
ARP_OCTETS = 28

HARDWARE_ETHERNET = 1
LENGTHS = 0x0604  # of both kinds of addresses
REQUEST, REPLY = 1, 2
NOBODY = -1


@rare_kernel
def asked_by_arp(packet: Octets) -> int:
    """Return the address that a packet behind an Ethernet header asks for, or NOBODY.

    Who claims the address itself, or says that its hardware is a group's, gets no answer. A probe
    (RFC 5227, without an address of its own) does: the address is in use.
    """
    if packet.size < ARP_OCTETS:
        return NOBODY
    if get_u16(packet, ARP_HARDWARE) != HARDWARE_ETHERNET:
        return NOBODY
    if get_u16(packet, ARP_PROTOCOL) != TYPE_IP4 or get_u16(packet, ARP_LENGTHS) != LENGTHS:
        return NOBODY
    if get_u16(packet, ARP_OPERATION) != REQUEST or get_u8(packet, ARP_SENDER) & 1:
        return NOBODY
    target = get_u32(packet, ARP_TARGET_ADDRESS)
    return NOBODY if target == get_u32(packet, ARP_SENDER_ADDRESS) else target


@rare_kernel
def write_arp_reply(packet: Octets, high: int, low: int) -> tuple[int, int]:
    """Turn a request into its answer, from the hardware address given; return whose it is."""
    target = get_u32(packet, ARP_TARGET_ADDRESS)
    to_high, to_low = get_u16(packet, ARP_SENDER), get_u32(packet, ARP_SENDER + 2)
    set_u16(packet, ARP_OPERATION, REPLY)
    set_u16(packet, ARP_TARGET, to_high)
    set_u32(packet, ARP_TARGET + 2, to_low)
    set_u32(packet, ARP_TARGET_ADDRESS, get_u32(packet, ARP_SENDER_ADDRESS))
    set_u16(packet, ARP_SENDER, high)
    set_u32(packet, ARP_SENDER + 2, low)
    set_u32(packet, ARP_SENDER_ADDRESS, target)
    return to_high, to_low
