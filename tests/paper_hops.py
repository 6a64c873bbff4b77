"""Next hops as a test writes them, without a kernel's tables."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import numpy as np

from natlb.core.memory import Kind, make
from natlb.core.next_hops import ANSWERED, BY_HOST, NextHops, neighbour_slot, route_slot

Lanes = tuple[int, int, int, int]


def lanes_of(address: str) -> Lanes:
    """Return an address as lanes."""
    value = ip_address(address)
    whole = int(value) | (0xFFFF << 32 if value.version == 4 else 0)
    return tuple(whole >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))  # type: ignore[return-value]


def place(array: np.ndarray, at: int, used: str) -> int:
    """Return the first free place from `at` on."""
    while array[at][used]:
        at = (at + 1) % array.size
    return at


class Paper:
    """Next hops as a test writes them."""

    def __init__(self, slots: int = 16) -> None:
        """Hold nothing."""
        self.hops: NextHops = make(Kind.NEXT_HOPS, links=2, routes=slots, neighbours=slots)
        self.hops.lengths[:] = -1
        self.hops.numbers[1:3] = (0, 1)

    def route(
        self, network: str, kind: int, *, table: int = 0, link: int = 0, **words: int
    ) -> None:
        """Add a route."""
        parsed = ip_network(network)
        length = parsed.prefixlen + (96 if parsed.version == 4 else 0)
        lanes = lanes_of(str(parsed.network_address))
        at = place(
            self.hops.routes, route_slot(lanes, table, length, self.hops.routes.size), "kind"
        )
        row = self.hops.routes[at]
        for lane in range(4):
            row[f"network{lane}"] = lanes[lane]
        row["table"], row["length"], row["kind"], row["link"] = table, length, kind, link
        row["mtu"], row["neighbour"] = words.get("mtu", 1500), words.get("neighbour", BY_HOST)
        known = {int(each) for each in self.hops.lengths[table] if each >= 0} | {length}
        self.hops.lengths[table, : len(known)] = sorted(known, reverse=True)

    def neighbour(self, address: str, *, table: int = 0, link: int = 0, mac: str = "0" * 12) -> int:
        """Add a neighbour and return its place."""
        lanes = lanes_of(address)
        neighbours = self.hops.neighbours
        at = place(neighbours, neighbour_slot(lanes, table, link, neighbours.size), "used")
        row = neighbours[at]
        for lane in range(4):
            row[f"address{lane}"] = lanes[lane]
        row["table"], row["link"], row["used"] = table, link, 1
        row["mac_high"], row["mac_low"] = int(mac[:4], 16), int(mac[4:], 16)
        return at

    def link(self, at: int, ifindex: int, mac: str) -> None:
        """Say what a link is, and its own address as twelve digits."""
        row = self.hops.links[at]
        row["ifindex"], row["mtu"] = ifindex, 1500
        row["mac_high"], row["mac_low"] = int(mac[:4], 16), int(mac[4:], 16)

    @staticmethod
    def answered(*ends: tuple[str, int]) -> np.ndarray:
        """Return what is answered for: addresses, each with the number of its interface."""
        made = np.zeros(len(ends), ANSWERED)
        for row, (address, ifindex) in zip(made, ends, strict=True):
            row["ifindex"] = ifindex
            for lane, value in enumerate(lanes_of(address)):
                row[f"address{lane}"] = value
        return made

    @staticmethod
    def vlans(*numbers: int) -> np.ndarray:
        """Return which VLANs have an interface of their own."""
        return np.array(numbers, np.int64)
