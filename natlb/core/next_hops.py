"""Where a packet goes that natlb sends by itself: routes and neighbours, as the kernel has them.

Made by the supervisor from the kernel's tables (`control/host/next_hops.py`), sealed, never
edited: a change is a new generation. Routes lie in an open-addressed hash table by (table, prefix
length, network); a look-up tries the lengths that there are, longest first (Waldvogel, Varghese,
Turner, Plattner, "Scalable High Speed IP Routing Lookups", 1997, without its binary search: a
host has a handful of lengths). Addresses are four 32-bit lanes, IPv4 as ::ffff:a.b.c.d, so an
IPv4 prefix of n bits has the length 96 + n.

Laws
    What is not known for certain is BY_HOST: the host routes it, resolves it, and answers for it.
    Public and private side have a table each, or one together where they share a namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.hashing import WORD, State, second_hash
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

BY_HOST = -1

# A link that packets can be sent by: Ethernet, up.
LINK = np.dtype(
    [
        ("ifindex", np.int64),
        ("mtu", np.int64),  # the largest packet, from the IP header on
        ("mac_high", np.int64),  # the first two octets of its own address
        ("mac_low", np.int64),  # the last four
    ]
)
ROUTE = np.dtype(
    [
        *((f"network{lane}", np.uint32) for lane in range(4)),
        ("table", np.uint16),
        ("length", np.uint16),
        ("kind", np.uint16),
        ("reserved", np.uint16),
        ("link", np.int32),  # in `links`; of ON_LINK and VIA
        ("neighbour", np.int32),  # in `neighbours`: the gateway; of VIA. BY_HOST: not resolved
        ("mtu", np.int64),  # of the route, or else of its link
    ],
    align=True,
)
UNUSED, ON_LINK, VIA, HOST = range(4)  # HOST: whatever natlb does not send by itself

NEIGHBOUR = np.dtype(
    [
        *((f"address{lane}", np.uint32) for lane in range(4)),
        ("table", np.uint16),
        ("used", np.uint16),
        ("link", np.int32),
        ("mac_high", np.int64),
        ("mac_low", np.int64),
    ],
    align=True,
)
TABLES = 2
LENGTHS = 34  # of a table at the most; a host with more prefix lengths is routed by the host


# An address that natlb answers for on a link, by ARP or neighbour discovery (drivers packet, xdp)
ANSWERED = np.dtype(
    [*((f"address{lane}", np.uint32) for lane in range(4)), ("ifindex", np.int64)], align=True
)
VLAN_BITS = 12  # of a VLAN's number, below the interface's in `vlans`


class NextHops(NamedTuple):
    """Read-only arrays; `routes` and `neighbours` are hash tables of a power of two, half full."""

    links: NDArray[np.void]  # LINK
    routes: NDArray[np.void]  # ROUTE[2^n]
    neighbours: NDArray[np.void]  # NEIGHBOUR[2^n]
    lengths: NDArray[np.int64]  # [TABLES, LENGTHS]: prefix lengths, longest first; -1 ends
    numbers: NDArray[np.int64]  # NEXT_HOP_NUMBERS
    answered: NDArray[np.void]  # ANSWERED
    vlans: NDArray[np.int64]  # ifindex << VLAN_BITS | number: VLANs with an interface of their own


NEXT_HOP_NUMBERS = (
    "generation",
    "public",  # the table of each side
    "private",
    *(f"reserved{number}" for number in range(5)),
)
HOPS_GENERATION, PUBLIC_TABLE = range(2)


@kernel
def route_slot(lanes: State, table: int, length: int, slots: int) -> int:
    """Return where the search for a route begins; `slots` is a power of two."""
    return _slot(lanes, table << 8 | length, slots)


@kernel
def neighbour_slot(lanes: State, table: int, link: int, slots: int) -> int:
    """Return where the search for a neighbour begins; `slots` is a power of two."""
    return _slot(lanes, (table << 24 | link) & WORD, slots)


@kernel
def _slot(lanes: State, salt: int, slots: int) -> int:
    """Return a place from an address and a number, not keyed: only the host's own is stored."""
    h = second_hash(salt)
    for lane in lanes:
        h = second_hash(h ^ lane)
    return h & slots - 1


@kernel
def masked(lanes: State, length: int) -> State:
    """Return the first `length` bits (0 to 128) of an address, the others 0."""
    return (
        i64(lanes[0]) & _mask(length),
        i64(lanes[1]) & _mask(length - 32),
        i64(lanes[2]) & _mask(length - 64),
        i64(lanes[3]) & _mask(length - 96),
    )


@kernel
def _mask(bits: int) -> int:
    """Return a lane with its first `bits` bits set; fewer than 0 are none, more than 32 all."""
    kept = min(max(bits, 0), 32)
    return (WORD << 32 - kept) & WORD


@kernel
def find_route(hops: NextHops, side: int, lanes: State) -> int:
    """Return the position in `hops.routes` of the longest route to an address, or BY_HOST."""
    table = i64(hops.numbers[PUBLIC_TABLE + side])
    for at in range(LENGTHS):
        length = i64(hops.lengths[table, at])
        if length < 0:
            break
        found = _find_network(hops, table, length, masked(lanes, length))
        if found != BY_HOST:
            return found
    return BY_HOST


@kernel
def _find_network(hops: NextHops, table: int, length: int, network: State) -> int:
    """Return the position of the route to exactly this network, or BY_HOST."""
    slots = hops.routes.size
    at = route_slot(network, table, length, slots)
    while True:
        route = hops.routes[at]
        if i64(route["kind"]) == UNUSED:
            return BY_HOST
        if (
            i64(route["length"]) == length
            and i64(route["table"]) == table
            and i64(route["network3"]) == network[3]
            and i64(route["network2"]) == network[2]
            and i64(route["network1"]) == network[1]
            and i64(route["network0"]) == network[0]
        ):
            return at
        at = at + 1 & slots - 1


@kernel
def find_neighbour(hops: NextHops, side: int, link: int, lanes: State) -> int:
    """Return the position in `hops.neighbours` of an address on a link, or BY_HOST."""
    table = i64(hops.numbers[PUBLIC_TABLE + side])
    slots = hops.neighbours.size
    at = neighbour_slot(lanes, table, link, slots)
    while True:
        found = hops.neighbours[at]
        if i64(found["used"]) == 0:
            return BY_HOST
        if (
            i64(found["address3"]) == lanes[3]
            and i64(found["link"]) == link
            and i64(found["table"]) == table
            and i64(found["address2"]) == lanes[2]
            and i64(found["address1"]) == lanes[1]
            and i64(found["address0"]) == lanes[0]
        ):
            return at
        at = at + 1 & slots - 1


@kernel
def find_next_hop(hops: NextHops, side: int, lanes: State, octets: int) -> int:
    """Return the position in `hops.neighbours` of where a packet is to be sent, or BY_HOST.

    `octets` is the length of the packet, or of one of its segments: what does not fit the way is
    BY_HOST too, and the host says so to whoever sent it.
    """
    at = find_route(hops, side, lanes)
    if at == BY_HOST:
        return BY_HOST
    route = hops.routes[at]
    if i64(route["kind"]) == HOST or octets > i64(route["mtu"]):
        return BY_HOST
    if i64(route["kind"]) == VIA:
        return i64(route["neighbour"])
    return find_neighbour(hops, side, i64(route["link"]), lanes)
