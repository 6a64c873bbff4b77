"""Next hops as octets, laid out as `core/next_hops.py` reads them, without NumPy or Numba.

The supervisor makes them, and it has neither: to load NumPy costs it 20 MiB and a sixth of a
second. A test holds that each record, each hash and each place is the kernels' own.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from natlb.control.code import layout_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from natlb.control.host.ways import Network, Way
    from natlb.netlink.forwarding import HopLink

BY_HOST = -1
ON_LINK, VIA, HOST = 1, 2, 3
TABLES, LENGTHS = 2, 34

LINK = struct.Struct("=4q")
ROUTE = struct.Struct("=4I4H2iq")
NEIGHBOUR = struct.Struct("=4I2Hi2q")
NUMBERS = struct.Struct("=8q")
ANSWERED = struct.Struct("=4Iq")
VLAN = struct.Struct("=q")

MAGIC, KIND, MOST_ARRAYS, ALIGNMENT = 0x4E41544C42000000, 6, 16, 64  # io/shared.py
HEAD = struct.Struct(f"={4 + 3 * MOST_ARRAYS}q")
LEAST_SLOTS = 16
WORD = 0xFFFFFFFF
KNOWN_PLACES = 1 << 18


class Table(NamedTuple):
    """The next hops of one namespace."""

    links: Mapping[int, HopLink]  # those that natlb sends by
    ways: Mapping[Network, Way]
    macs: Mapping[tuple[int, int], bytes]  # of neighbours by the link's index and the address
    vlans: tuple[int, ...] = ()  # what has an interface of its own: see `HopLink.vlan`


class TooManyLengthsError(Exception):
    """A namespace has routes of more lengths than a worker tries."""


class Places:
    """Where the search for an address begins; what was asked before is known."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[tuple[int, int], int] = {}

    def of(self, number: int, salt: int, slots: int) -> int:
        """Return the first slot."""
        found = self._known.get((number, salt))
        if found is None:
            if len(self._known) > KNOWN_PLACES:
                self._known.clear()
            found = self._known[number, salt] = _hash(number, salt)
        return found & slots - 1


def _hash(number: int, salt: int) -> int:
    hashed = second_hash(salt)
    for lane in lanes(number):
        hashed = second_hash(hashed ^ lane)
    return hashed


def second_hash(first: int) -> int:
    """Return what `core/hashing.py` makes of a number."""
    hashed = ((first ^ first >> 16) * 0x45D9F3B) & WORD
    hashed = ((hashed ^ hashed >> 16) * 0x45D9F3B) & WORD
    return hashed ^ hashed >> 16


def lanes(number: int) -> tuple[int, int, int, int]:
    """Return an address as four words."""
    return number >> 96, number >> 64 & WORD, number >> 32 & WORD, number & WORD


class HopMemory:
    """Makes one generation after the other; what did not change is not made again."""

    def __init__(self) -> None:
        """Have made nothing."""
        self._places = Places()
        self._version = layout_version()
        self._routes: bytes = b""
        self._made_of: object = None

    def content(
        self,
        tables: Sequence[Table],
        sides: tuple[int, int],
        generation: int,
        answered: Iterable[tuple[int, int]] = (),
    ) -> bytes:
        """Return the memory for these tables; `sides` says which is whose.

        `answered` are the addresses that natlb answers for, each with an interface's index.

        Raises TooManyLengthsError.
        """
        lengths = b"".join(_lengths(table.ways) for table in tables)
        lengths += b"\xff" * (8 * LENGTHS * (TABLES - len(tables)))
        numbering = {
            (at, index): number
            for number, (at, index) in enumerate(
                (at, index) for at, table in enumerate(tables) for index in sorted(table.links)
            )
        }
        links = b"".join(
            _link(tables[at].links[index])
            for at, index in sorted(numbering, key=numbering.get)  # type: ignore[arg-type]
        )
        neighbours, found = self._neighbours(tables, numbering)
        arrays = (
            (links, LINK.size),
            (self._all_routes(tables, numbering, found), ROUTE.size),
            (neighbours, NEIGHBOUR.size),
            (lengths, 8 * LENGTHS),
            (NUMBERS.pack(generation, *sides, 0, 0, 0, 0, 0), 8),
            (_answered(answered), ANSWERED.size),
            (b"".join(VLAN.pack(each) for table in tables for each in table.vlans), VLAN.size),
        )
        return self._framed(arrays)

    def _framed(self, arrays: Iterable[tuple[bytes, int]]) -> bytes:
        """Return these arrays behind the head that says where they lie."""
        offset = _aligned(HEAD.size)
        offsets, items, widths, pieces = [], [], [], []
        for octets, width in arrays:
            offsets.append(offset)
            items.append(len(octets) // width)
            widths.append(width)
            pieces.append(octets + bytes(_aligned(len(octets)) - len(octets)))
            offset += len(pieces[-1])
        rest = [0] * (MOST_ARRAYS - len(pieces))
        head = HEAD.pack(
            *(MAGIC, KIND, self._version, len(pieces)),
            *(*offsets, *rest, *items, *rest, *widths, *rest),
        )
        return head + bytes(_aligned(HEAD.size) - HEAD.size) + b"".join(pieces)

    def _neighbours(
        self, tables: Sequence[Table], numbering: Mapping[tuple[int, int], int]
    ) -> tuple[bytes, dict[tuple[int, int, int], int]]:
        """Return the neighbours, and where gateways lie.

        Gateways come first: their places do not change with other neighbours.
        """
        gateways = {
            (at, way.link, way.gateway)
            for at, table in enumerate(tables)
            for way in table.ways.values()
            if way.gateway and way.link in table.links
        }
        others = sorted(
            (at, *place)
            for at, table in enumerate(tables)
            for place in table.macs
            if place[0] in table.links and (at, *place) not in gateways
        )
        slots = _slots(len(gateways) + len(others))
        taken: dict[int, bytes] = {}
        found = {}
        for at, index, address in (*sorted(gateways), *others):
            mac = tables[at].macs.get((index, address), b"")
            if not mac:
                continue
            link = numbering[at, index]
            slot = self._places.of(address, (at << 24 | link) & WORD, slots)
            while slot in taken:
                slot = slot + 1 & slots - 1
            high, low = int.from_bytes(mac[:2]), int.from_bytes(mac[2:])
            taken[slot] = NEIGHBOUR.pack(*lanes(address), at, 1, link, high, low)
            found[at, index, address] = slot
        return _spread(taken, slots, NEIGHBOUR.size), {
            place: slot for place, slot in found.items() if place in gateways
        }

    def _all_routes(
        self,
        tables: Sequence[Table],
        numbering: Mapping[tuple[int, int], int],
        gateways: Mapping[tuple[int, int, int], int],
    ) -> bytes:
        """Return the routes; those of before where nothing that they are made of is another."""
        made_of = ([(table.ways, table.links) for table in tables], gateways)
        if made_of == self._made_of:
            return self._routes
        slots = _slots(sum(len(table.ways) for table in tables))
        taken: dict[int, bytes] = {}
        for at, table in enumerate(tables):
            for (network, length), way in table.ways.items():
                slot = self._places.of(network, at << 8 | length, slots)
                while slot in taken:
                    slot = slot + 1 & slots - 1
                hop = _hop(way, table.links, numbering, at, gateways, is_mapped=length >= 96)
                taken[slot] = ROUTE.pack(*lanes(network), at, length, hop[0], 0, *hop[1:])
        self._routes, self._made_of = _spread(taken, slots, ROUTE.size), made_of
        return self._routes


def _hop(
    way: Way,
    links: Mapping[int, HopLink],
    numbering: Mapping[tuple[int, int], int],
    at: int,
    gateways: Mapping[tuple[int, int, int], int],
    *,
    is_mapped: bool,
) -> tuple[int, int, int, int]:
    """Return kind, link, neighbour and MTU of a route."""
    link = links.get(way.link)
    if link is None:
        return HOST, 0, BY_HOST, 0
    largest = link.mtu if is_mapped else link.mtu6
    mtu = min(largest, way.mtu) if way.mtu else largest
    number = numbering[at, way.link]
    if not way.gateway:
        return ON_LINK, number, BY_HOST, mtu
    return VIA, number, gateways.get((at, way.link, way.gateway), BY_HOST), mtu


def _link(link: HopLink) -> bytes:
    high, low = int.from_bytes(link.mac[:2]), int.from_bytes(link.mac[2:])
    return LINK.pack(link.number, link.mtu, high, low)


def _answered(answered: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(ANSWERED.pack(*lanes(address), index) for address, index in answered)


def _lengths(ways: Mapping[Network, Way]) -> bytes:
    found = sorted({length for _, length in ways}, reverse=True)
    if len(found) > LENGTHS:
        raise TooManyLengthsError
    return struct.pack(f"={LENGTHS}q", *found, *[-1] * (LENGTHS - len(found)))


def _slots(items: int) -> int:
    """Return a power of two, so many that at most half are taken."""
    return max(LEAST_SLOTS, 1 << (2 * items - 1).bit_length()) if items else LEAST_SLOTS


def _spread(taken: Mapping[int, bytes], slots: int, width: int) -> bytes:
    empty = bytes(width)
    return b"".join([taken.get(slot, empty) for slot in range(slots)])


def _aligned(octets: int) -> int:
    return -(-octets // ALIGNMENT) * ALIGNMENT
