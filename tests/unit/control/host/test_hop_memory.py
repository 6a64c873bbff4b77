"""Memory made without NumPy is what workers read: the kernels find in it what was put there."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from natlb.control.host import hop_memory
from natlb.control.host.hop_memory import HopMemory, Places, Table, TooManyLengthsError, lanes
from natlb.control.host.ways import BY_HOST, Way
from natlb.control.memory import sealed_memfd
from natlb.core import next_hops
from natlb.core.hashing import second_hash
from natlb.core.layout import LAYOUT_VERSION, PRIVATE, PUBLIC
from natlb.core.memory import Kind
from natlb.io import shared
from natlb.netlink.forwarding import MAPPED, HopLink

if TYPE_CHECKING:
    from natlb.core.next_hops import NextHops

MAC = bytes.fromhex("020000000001")


def link(number: int, mtu: int = 1500, mtu6: int = 1500) -> HopLink:
    """Return a link that can send."""
    return HopLink(number, f"e{number}", mtu, mtu6, MAC, can_send=True, queueing="noqueue")


def number(address: str) -> int:
    """Return an address as 128 bits."""
    found = ip_address(address)
    return int(found) | (MAPPED if found.version == 4 else 0)


def network(text: str) -> tuple[int, int]:
    """Return a network as a number and a length."""
    found = ip_network(text)
    return number(str(found.network_address)), found.prefixlen + (96 if found.version == 4 else 0)


def read(content: bytes) -> NextHops:
    """Return what a worker maps."""
    fd = sealed_memfd("hops", content)
    return shared.attach(Kind.NEXT_HOPS, fd, writable=False)


def test_the_records_are_the_packet_paths_own() -> None:
    """Written twice, since the supervisor loads no NumPy; held equal here."""
    pairs = (
        (hop_memory.LINK, next_hops.LINK),
        (hop_memory.ROUTE, next_hops.ROUTE),
        (hop_memory.NEIGHBOUR, next_hops.NEIGHBOUR),
        (hop_memory.HEAD, shared.HEADER),
    )
    assert [mine.size for mine, _ in pairs] == [theirs.itemsize for _, theirs in pairs]
    assert (hop_memory.TABLES, hop_memory.LENGTHS) == (next_hops.TABLES, next_hops.LENGTHS)
    kinds = (hop_memory.ON_LINK, hop_memory.VIA, hop_memory.HOST, hop_memory.BY_HOST)
    assert kinds == (next_hops.ON_LINK, next_hops.VIA, next_hops.HOST, next_hops.BY_HOST)
    head = (hop_memory.MAGIC, hop_memory.MOST_ARRAYS, hop_memory.ALIGNMENT, hop_memory.KIND)
    assert head == (shared.MAGIC, shared.MOST_ARRAYS, shared.ALIGNMENT, Kind.NEXT_HOPS)
    assert next_hops.ANSWERED.itemsize == hop_memory.ANSWERED.size
    assert HopMemory()._version == LAYOUT_VERSION


def test_the_hash_is_the_packet_paths_own() -> None:
    """Over addresses and salts of both kinds."""
    places, chance = Places(), random.Random(1)
    for _ in range(200):
        address, length = chance.getrandbits(128), chance.randrange(129)
        assert hop_memory.second_hash(address & 0xFFFFFFFF) == second_hash(address & 0xFFFFFFFF)
        words = lanes(address)
        table, place = chance.randrange(2), chance.randrange(1 << 20)
        found = places.of(address, table << 8 | length, 1024)
        assert found == next_hops.route_slot(words, table, length, 1024)
        found = places.of(address, (table << 24 | place) & 0xFFFFFFFF, 64)
        assert found == next_hops.neighbour_slot(words, table, place, 64)


def test_a_worker_finds_what_was_put_there() -> None:
    """By a gateway, on a link, not at all, by the host; each side in its own table."""
    outer = Table(
        {2: link(2), 3: link(3, mtu=1400)},
        {
            network("0.0.0.0/0"): Way(2, number("198.51.100.1")),
            network("198.51.100.0/24"): Way(2),
            network("203.0.113.0/24"): Way(3, number("192.0.2.1")),
            network("203.0.113.9/32"): BY_HOST,
            network("192.0.2.128/25"): Way(9),
        },
        {
            (2, number("198.51.100.1")): MAC,
            (2, number("198.51.100.7")): b"\x02\0\0\0\0\x07",
            (9, number("192.0.2.129")): MAC,
        },
    )
    inner = Table(
        {2: link(2)}, {network("10.0.0.0/8"): Way(2, 0, 1300)}, {(2, number("10.0.0.1")): MAC}
    )
    hops = read(HopMemory().content((outer, inner), (0, 1), 7))

    def find(address: str, side: int = PUBLIC, octets: int = 1500) -> str:
        at = next_hops.find_next_hop(hops, side, lanes(number(address)), octets)
        if at == next_hops.BY_HOST:
            return "host"
        row = hops.neighbours[at]
        made = hops.links[row["link"]]
        low = int(row["mac_low"])
        return f"{int(made['ifindex'])} {low}"

    assert find("8.8.8.8") == "2 1"
    assert find("8.8.8.8", octets=1501) == "host"
    assert find("198.51.100.7") == "2 7"
    assert find("198.51.100.8") == "host"  # nobody there that is known
    assert find("203.0.113.1") == "host"  # its gateway is not resolved
    assert find("203.0.113.9") == "host"
    assert find("192.0.2.129") == "host"  # by a link that natlb does not send by
    assert find("10.0.0.1", PRIVATE, 1300) == "2 1"
    assert find("10.0.0.1", PRIVATE, 1301) == "host"
    assert int(hops.numbers[0]) == 7


def test_crowds_of_routes_and_neighbours_are_all_found() -> None:
    """Half of the places are taken, so many do not lie where their search begins."""
    chance = random.Random(2)
    networks = {network(f"10.{at >> 8}.{at & 255}.0/24"): Way(1) for at in range(600)}
    macs = {
        (1, number(f"10.{at >> 8}.{at & 255}.{chance.randrange(1, 255)}")): MAC for at in range(600)
    }
    hops = read(HopMemory().content((Table({1: link(1)}, networks, macs),), (0, 0), 1))

    for _, address in macs:
        at = next_hops.find_next_hop(hops, PRIVATE, lanes(address), 60)
        assert int(hops.neighbours[at]["address3"]) == address & 0xFFFFFFFF


def test_routes_are_made_anew_for_a_gateway_that_comes_and_not_for_a_client() -> None:
    """A thousand clients on the link change often; what they do not touch is not made again."""
    memory = HopMemory()
    gateway, ways = number("10.0.0.1"), {network("0.0.0.0/0"): Way(1, number("10.0.0.1"))}

    def made(macs: dict[tuple[int, int], bytes]) -> bytes:
        memory.content((Table({1: link(1)}, ways, macs),), (0, 0), 1)
        return memory._routes

    unresolved = made({})
    resolved = made({(1, gateway): MAC})
    assert resolved != unresolved
    assert made({(1, gateway): MAC, (1, number("10.0.0.9")): MAC}) is resolved
    assert made({(1, gateway): b"\x02\0\0\0\0\x09"}) is resolved
    assert made({(1, number("10.0.0.9")): MAC}) == unresolved


def test_more_lengths_than_a_worker_tries_are_refused() -> None:
    """To leave one out would be to send its packets elsewhere."""
    ways = {network(f"::/{length}"): Way(1) for length in range(35)}
    with pytest.raises(TooManyLengthsError):
        HopMemory().content((Table({1: link(1)}, ways, {}),), (0, 0), 1)


def test_what_is_known_of_places_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes may come and go for months."""
    monkeypatch.setattr(hop_memory, "KNOWN_PLACES", 10)
    places = Places()
    for at in range(100):
        places.of(at, 0, 64)

    assert len(places._known) <= 11
