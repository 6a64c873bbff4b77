"""IPv6 neighbour solicitations and their answers (RFC 4861 sections 4.3, 4.4, 7.1.1 and 7.2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel, rare_kernel
from natlb.wire.answers import finish_icmp
from natlb.wire.checksum import fold, sum_octets, sum_pseudo_header
from natlb.wire.fields import (
    ICMP6,
    IP6_DESTINATION,
    IP6_HEADER,
    IP6_HOP_LIMIT,
    IP6_NEXT_HEADER,
    IP6_PAYLOAD_LENGTH,
    IP6_SOURCE,
)
from natlb.wire.octets import get_u8, get_u16, get_u32, set_u8, set_u16, set_u32
from natlb.wire.rewrite import set_address6

if TYPE_CHECKING:
    from natlb.wire.octets import Octets
    from natlb.wire.rewrite import Lanes

SOLICITATION, ADVERTISEMENT = 135, 136
LEAST_OCTETS = 24  # from the ICMP header on
FLAGS = IP6_HEADER + 4
TARGET = IP6_HEADER + 8
OPTIONS = IP6_HEADER + LEAST_OCTETS
SOURCE_LINK, TARGET_LINK = 1, 2  # options
OPTION_OCTETS = 8
ADVERTISEMENT_OCTETS = OPTIONS + OPTION_OCTETS
SOLICITED, OVERRIDE = 0x40000000, 0x20000000
WHOLE_WAY = 255  # hops left to what passed no router
ALL_NODES = 0xFF020000, 0, 0, 1
SOLICITED_NODE = 0xFF020000, 0, 1  # with ff and three octets of the target behind it
GROUP_HIGH, GROUP_LOW = 0x3333, 1  # of all nodes on Ethernet: RFC 2464 section 7


@kernel
def may_be_solicitation(packet: Octets) -> bool:
    """Return whether an IPv6 packet is worth a closer look."""
    return (
        packet.size >= OPTIONS
        and get_u8(packet, IP6_NEXT_HEADER) == ICMP6
        and get_u8(packet, IP6_HEADER) == SOLICITATION
    )


@rare_kernel
def is_solicitation(packet: Octets) -> bool:
    """Return whether a packet that may be one is a solicitation that must be answered.

    RFC 4861 section 7.1.1: from this link, whole, with a right sum, for one address; and a probe
    for a duplicate goes to the group of its target, and says no address of its own.
    """
    length = get_u16(packet, IP6_PAYLOAD_LENGTH)
    end = IP6_HEADER + length
    if get_u8(packet, IP6_HOP_LIMIT) != WHOLE_WAY or length < LEAST_OCTETS or end > packet.size:
        return False
    if get_u8(packet, IP6_HEADER + 1) != 0 or get_u8(packet, TARGET) == 0xFF:
        return False
    total = sum_pseudo_header(packet, IP6_SOURCE, 32, ICMP6, length)
    if fold(total + sum_octets(packet, IP6_HEADER, end)) != 0xFFFF:
        return False
    if get_u8(packet, IP6_SOURCE) == 0xFF:
        return False
    link = find_link_option(packet, end)
    if link < 0:
        return False
    return not is_probe(packet) or (link == 0 and _is_to_group_of_target(packet))


@rare_kernel
def find_link_option(packet: Octets, end: int) -> int:
    """Return where the sender's link address stands, 0: nowhere, -1: an option is too long."""
    found = 0
    at = OPTIONS
    while at < end:
        octets = get_u8(packet, at + 1) * 8 if at + 1 < end else 0
        if octets == 0 or at + octets > end:
            return -1
        if get_u8(packet, at) == SOURCE_LINK and found == 0:
            found = at + 2
        at += octets
    return found


@kernel
def is_probe(packet: Octets) -> bool:
    """Return whether a solicitation has no source: it looks for a duplicate (RFC 4862)."""
    high = get_u32(packet, IP6_SOURCE) | get_u32(packet, IP6_SOURCE + 4)
    return high | get_u32(packet, IP6_SOURCE + 8) | get_u32(packet, IP6_SOURCE + 12) == 0


@kernel
def _is_to_group_of_target(packet: Octets) -> bool:
    """Return whether a packet goes to ff02::1:ff and the last three octets of its target."""
    at = IP6_DESTINATION
    return (
        get_u32(packet, at) == SOLICITED_NODE[0]
        and get_u32(packet, at + 4) == SOLICITED_NODE[1]
        and get_u32(packet, at + 8) == SOLICITED_NODE[2]
        and get_u32(packet, at + 12) == get_u32(packet, TARGET + 12) | 0xFF000000
    )


@kernel
def target_of(packet: Octets) -> Lanes:
    """Return the address that a solicitation asks for."""
    return (
        get_u32(packet, TARGET),
        get_u32(packet, TARGET + 4),
        get_u32(packet, TARGET + 8),
        get_u32(packet, TARGET + 12),
    )


@rare_kernel
def write_advertisement(packet: Octets, high: int, low: int) -> None:
    """Write the answer to a solicitation over it: `packet` is a view of ADVERTISEMENT_OCTETS.

    To who asked; to all nodes where that was a probe. It overrides what was known: another
    natlb may have had the address until now.
    """
    probe = is_probe(packet)
    source = ALL_NODES
    if not probe:
        at = IP6_SOURCE
        source = (
            get_u32(packet, at),
            get_u32(packet, at + 4),
            get_u32(packet, at + 8),
            get_u32(packet, at + 12),
        )
    set_address6(packet, IP6_SOURCE, target_of(packet))
    set_address6(packet, IP6_DESTINATION, source)
    set_u32(packet, 0, 0x60000000)
    set_u16(packet, IP6_PAYLOAD_LENGTH, ADVERTISEMENT_OCTETS - IP6_HEADER)
    set_u8(packet, IP6_HEADER, ADVERTISEMENT)
    set_u32(packet, FLAGS, OVERRIDE if probe else SOLICITED | OVERRIDE)
    set_u8(packet, OPTIONS, TARGET_LINK)
    set_u8(packet, OPTIONS + 1, 1)
    set_u16(packet, OPTIONS + 2, high)
    set_u32(packet, OPTIONS + 4, low)
    finish_icmp(packet, 6, IP6_HEADER, ADVERTISEMENT_OCTETS)
