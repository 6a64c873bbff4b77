"""What natlb answers for in a subnet announced to it: neighbours learn the hardware address.

A gratuitous ARP request (RFC 5227, section 3) or an unsolicited neighbour advertisement with the
override flag (RFC 4861, section 7.2.6), by a packet socket: no answer is waited for, and a lost
one costs the neighbour its next question.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from struct import pack
from typing import TYPE_CHECKING

from natlb.netlink import Netlink, inside
from natlb.netlink.namespace import refuse

if TYPE_CHECKING:
    from natlb.control.host.plan import HostPlan
    from natlb.netlink.values import Proxy

BROADCAST = bytes.fromhex("ffffffffffff")
ALL_NODES = IPv6Address("ff02::1")
ALL_NODES_MAC = bytes.fromhex("333300000001")  # RFC 2464, section 7
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
ICMPV6, NEIGHBOUR_ADVERTISEMENT = 58, 136
ROUTER_AND_OVERRIDE = 0xA000_0000
TARGET_LINK_LAYER_ADDRESS = 2


def announce(plan: HostPlan) -> None:
    """Tell each subnet that holds a VIP or a source where that is; NatlbError if one refuses."""
    _announce(plan.public.netns or None, plan.proxies)
    _announce(plan.private.netns or None, plan.private_proxies)


def _announce(netns: str | None, proxies: tuple[Proxy, ...]) -> None:
    if not proxies:
        return
    with Netlink(netns) as netlink:
        macs = {link.name: link.mac for link in netlink.links()}
    try:
        # Protocol 0: the socket sends and never receives.
        with inside(netns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            for proxy in proxies:
                mac = bytes.fromhex(macs.get(proxy.dev, "").replace(":", ""))
                if len(mac) == 6:
                    sender.sendto(frame(proxy.address, mac), (proxy.dev, 0))
    except OSError as error:
        raise refuse("cannot announce the VIPs", error.errno or 0, need="CAP_NET_RAW") from error


def frame(vip: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Return the Ethernet frame that says: this VIP is at this hardware address."""
    if isinstance(vip, IPv4Address):
        return gratuitous_arp(vip, mac)
    return unsolicited_advertisement(vip, mac)


def gratuitous_arp(vip: IPv4Address, mac: bytes) -> bytes:
    """Return an ARP request that asks for the address it comes from."""
    request = pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    addresses = mac + vip.packed + bytes(6) + vip.packed
    return BROADCAST + mac + pack("!H", ETH_P_ARP) + request + addresses


def unsolicited_advertisement(vip: IPv6Address, mac: bytes) -> bytes:
    """Return a neighbour advertisement to all nodes, from the VIP itself."""
    body = pack("!I", ROUTER_AND_OVERRIDE) + vip.packed
    body += pack("!BB", TARGET_LINK_LAYER_ADDRESS, 1) + mac
    length = 4 + len(body)
    pseudo = vip.packed + ALL_NODES.packed + pack("!II", length, ICMPV6)
    start = pack("!BB", NEIGHBOUR_ADVERTISEMENT, 0)
    checksum = internet_checksum(pseudo + start + bytes(2) + body)
    header = pack("!IHBB", 6 << 28, length, ICMPV6, 255) + vip.packed + ALL_NODES.packed
    message = start + pack("!H", checksum) + body
    return ALL_NODES_MAC + mac + pack("!H", ETH_P_IPV6) + header + message


def internet_checksum(octets: bytes) -> int:
    """Return the checksum of an even number of octets (RFC 1071)."""
    total = sum(int.from_bytes(octets[at : at + 2]) for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
