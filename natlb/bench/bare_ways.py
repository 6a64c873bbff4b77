"""The bare forwarder's ways out where it sends by itself: two sockets, and one next hop a side.

What natlb follows live is fixed here: whatever leaves by a side goes to the one neighbour there.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.memory import Kind, make
from natlb.core.next_hops import PUBLIC_TABLE, UNUSED, VIA, route_slot
from natlb.io.ports import Port, PortKind
from natlb.netlink import Netlink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.core.next_hops import NextHops
    from natlb.netlink import Link

SOL_PACKET, PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 263, 15, 20  # Linux: if_packet.h
SEND_OCTETS = 4 << 20
DEVICES = {PUBLIC: "public0", PRIVATE: "private0"}
ANYWHERE = (0, 0, 0, 0)
ROUTES = 8


def outputs() -> list[Port]:
    """Return a packet socket for each side that sends what has a virtio-net header."""
    return [Port(PortKind.OUTPUT, side, open_output()) for side in (PUBLIC, PRIVATE)]


def open_output() -> int:
    """Return the fd of a packet socket that only sends, past the queueing discipline."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        made.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_OCTETS)
    except BaseException:
        made.close()
        raise
    return made.detach()


def hops_to(macs: Mapping[int, str]) -> NextHops:
    """Return next hops by which each side's packets go to the neighbour of this address."""
    with Netlink() as netlink:
        return fixed_hops({side: (netlink.link(DEVICES[side]), macs[side]) for side in DEVICES})


def fixed_hops(sides: Mapping[int, tuple[Link, str]]) -> NextHops:
    """Return next hops with one route to everywhere for each side: its link, its neighbour."""
    hops: NextHops = make(Kind.NEXT_HOPS, links=2, routes=ROUTES, neighbours=2)
    hops.lengths[:] = -1
    for side, (link, mac) in sides.items():
        hops.numbers[PUBLIC_TABLE + side] = side
        hops.lengths[side, 0] = 0
        hops.links[side] = (link.index, link.mtu, *halves(link.mac))
        at = route_slot(ANYWHERE, side, 0, ROUTES)
        while hops.routes[at]["kind"] != UNUSED:
            at = (at + 1) % ROUTES
        route = hops.routes[at]
        route["table"], route["kind"] = side, VIA
        route["link"], route["neighbour"], route["mtu"] = side, side, link.mtu
        neighbour = hops.neighbours[side]
        neighbour["table"], neighbour["used"], neighbour["link"] = side, 1, side
        neighbour["mac_high"], neighbour["mac_low"] = halves(mac)
    for array in hops:
        array.flags.writeable = False
    return hops


def halves(mac: str) -> tuple[int, int]:
    """Return the first two octets of an Ethernet address, and the last four."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(octets[:2]), int.from_bytes(octets[2:])
