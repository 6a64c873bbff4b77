"""Routes and neighbours as a worker looks them up: the longest route wins; doubt is the host's."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.next_hops import (
    BY_HOST,
    HOST,
    LENGTHS,
    ON_LINK,
    VIA,
    find_neighbour,
    find_next_hop,
    find_route,
    masked,
)
from tests.paper_hops import Paper, lanes_of


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 96, 127, 128])
def test_a_mask_keeps_the_first_bits(length: int) -> None:
    """Over all four lanes."""
    ones = (0xFFFFFFFF,) * 4
    found = masked(ones, length)
    whole = sum(int(lane) << shift for lane, shift in zip(found, (96, 64, 32, 0), strict=True))
    assert whole == ((1 << length) - 1) << 128 - length


def test_the_longest_route_wins() -> None:
    """On a link, by a gateway, or the host's to judge."""
    paper = Paper()
    gateway = paper.neighbour("198.51.100.1")
    client = paper.neighbour("198.51.100.7")
    paper.route("0.0.0.0/0", VIA, neighbour=gateway)
    paper.route("198.51.100.0/24", ON_LINK)
    paper.route("198.51.100.66/32", HOST)

    hops = paper.hops
    assert find_next_hop(hops, PUBLIC, lanes_of("8.8.8.8"), 1500) == gateway
    assert find_next_hop(hops, PUBLIC, lanes_of("198.51.100.7"), 1500) == client
    assert find_next_hop(hops, PUBLIC, lanes_of("198.51.100.8"), 1500) == BY_HOST
    assert find_next_hop(hops, PUBLIC, lanes_of("198.51.100.66"), 1500) == BY_HOST
    assert find_next_hop(hops, PUBLIC, lanes_of("2001:db8::1"), 1500) == BY_HOST


def test_what_does_not_fit_its_way_is_the_hosts() -> None:
    """It answers "too big", or cuts."""
    paper = Paper()
    gateway = paper.neighbour("fe80::1")
    paper.route("2001:db8::/32", VIA, neighbour=gateway, mtu=1280)

    assert find_next_hop(paper.hops, PUBLIC, lanes_of("2001:db8::1"), 1280) == gateway
    assert find_next_hop(paper.hops, PUBLIC, lanes_of("2001:db8::1"), 1281) == BY_HOST


def test_each_side_has_its_table() -> None:
    """The same prefix may lead elsewhere in another namespace."""
    paper = Paper()
    outer = paper.neighbour("10.0.0.1", table=0)
    inner = paper.neighbour("10.0.0.1", table=1)
    paper.route("10.0.0.0/8", ON_LINK, table=0)
    paper.route("10.0.0.0/8", ON_LINK, table=1)

    assert outer != inner
    assert find_next_hop(paper.hops, PUBLIC, lanes_of("10.0.0.1"), 100) == outer
    assert find_next_hop(paper.hops, PRIVATE, lanes_of("10.0.0.1"), 100) == inner


def test_crowded_tables_are_searched_to_the_end() -> None:
    """Places after one another, and over the array's end."""
    paper = Paper(slots=64)
    addresses = [f"10.0.{at}.{low}" for at in range(2) for low in range(1, 17)]
    for number, address in enumerate(addresses):
        paper.neighbour(address)
        paper.route(f"{address}/32", ON_LINK, link=number)

    for number, address in enumerate(addresses):
        at = find_route(paper.hops, PUBLIC, lanes_of(address))
        assert int(paper.hops.routes[at]["link"]) == number
        found = find_neighbour(paper.hops, PUBLIC, 0, lanes_of(address))
        assert int(paper.hops.neighbours[found]["address3"]) == int(ip_address(address))
    assert find_neighbour(paper.hops, PUBLIC, 1, lanes_of("10.0.0.1")) == BY_HOST


def test_as_many_lengths_as_there_may_be_are_tried() -> None:
    """The shortest is the last."""
    paper = Paper(slots=128)
    for length in range(LENGTHS):
        paper.route(f"2001:db8::/{128 - length}" if length == 0 else f"::/{LENGTHS - length}", HOST)
    assert int(paper.hops.lengths[0, -1]) == 1
    assert find_route(paper.hops, PUBLIC, lanes_of("ffff::1")) == BY_HOST
