"""Generations are made where something is another, for both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.control.host import hop_follower
from natlb.control.host.hop_follower import HopFollower
from natlb.control.host.hop_memory import Table, lanes
from natlb.control.host.ways import Way
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.next_hops import BY_HOST, PUBLIC_TABLE, find_next_hop
from natlb.netlink.forwarding import HopNeighbour
from tests.unit.control.host.test_hop_memory import MAC, link, network, number, read

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY = number("10.0.0.1")


class PaperPlace:
    """A namespace as a test writes it."""

    def __init__(self, netns: str) -> None:
        """Have a default route."""
        self.netns = netns
        self.problem = ""
        self.ways = {network("0.0.0.0/0"): Way(1, GATEWAY), network("10.0.0.0/8"): Way(1)}
        self.macs = {(1, GATEWAY): MAC}
        self.neighbours = {(1, GATEWAY): HopNeighbour(1, GATEWAY, MAC)}
        self.gone = self.closed = self.heard = self.doubted = False

    def table(self) -> Table:
        """Return what is written."""
        return Table({1: link(1)}, self.ways, dict(self.macs))

    def fileno(self) -> int:
        """Return any number."""
        return 7

    def hear(self) -> bool:
        """Return what is written."""
        return self.heard

    def is_gone(self) -> bool:
        """Return what is written."""
        return self.gone

    def doubt(self) -> None:
        """Note it."""
        self.doubted = True

    def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> Iterator[HopFollower]:
    """Return one of two namespaces: natlb's own is the public one."""
    monkeypatch.setattr(hop_follower, "HopPlace", PaperPlace)
    monkeypatch.setattr(hop_follower, "namespaces", lambda: ["inner"])
    made = HopFollower("", "inner")
    assert made.watched() == [7, 7]
    yield made
    made.close()


def place_of(follower: HopFollower, name: str) -> PaperPlace:
    """Return a namespace."""
    return follower._places[name]  # type: ignore[return-value]


def test_a_generation_is_made_where_packets_go_elsewhere(follower: HopFollower) -> None:
    """And only then; neighbours on links that natlb does not send by are nothing to it."""
    first = follower.make(1, is_open=True)
    assert first is not None
    assert follower.make(2, is_open=True) is None
    place_of(follower, "").macs[9, GATEWAY] = MAC
    assert follower.make(3, is_open=True) is None
    place_of(follower, "").macs[1, number("10.0.0.9")] = MAC
    content = follower.make(4, is_open=True)
    assert content is not None
    hops = read(content)
    assert [int(each) for each in hops.numbers[:3]] == [4, 0, 1]
    assert find_next_hop(hops, PUBLIC, lanes(number("10.0.0.9")), 60) != BY_HOST
    assert find_next_hop(hops, PRIVATE, lanes(number("10.0.0.9")), 60) == BY_HOST


def test_where_it_is_shut_everything_is_the_hosts(follower: HopFollower) -> None:
    """And back."""
    follower.make(1, is_open=True)
    content = follower.make(2, is_open=False)
    assert content is not None
    assert find_next_hop(read(content), PUBLIC, lanes(number("8.8.8.8")), 60) == BY_HOST
    assert follower.make(3, is_open=False) is None
    assert follower.make(4, is_open=True) is not None


def test_one_namespace_of_both_sides_has_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway's."""
    monkeypatch.setattr(hop_follower, "HopPlace", PaperPlace)
    follower = HopFollower("", "")
    assert len(follower.watched()) == 1
    content = follower.make(1, is_open=True)
    assert content is not None
    hops = read(content)
    assert [int(each) for each in hops.numbers[PUBLIC_TABLE : PUBLIC_TABLE + 2]] == [0, 0]


def test_what_keeps_it_from_sending_is_said(follower: HopFollower) -> None:
    """By the namespace, or by too many prefix lengths."""
    place_of(follower, "inner").problem = "too many"
    follower.make(1, is_open=True)
    assert follower.problem == "too many"
    place_of(follower, "inner").problem = ""
    place = place_of(follower, "")
    place.ways = place.ways | {network(f"::/{length}"): Way(1) for length in range(40)}
    content = follower.make(2, is_open=True)
    assert content is not None
    assert follower.problem == "routes of more than 34 prefix lengths"
    assert find_next_hop(read(content), PUBLIC, lanes(number("8.8.8.8")), 60) == BY_HOST


def test_gateways_that_packets_go_by_are_named(follower: HopFollower) -> None:
    """On links that natlb sends by; those of the shortest prefixes first."""
    far = number("10.0.0.2")
    place_of(follower, "").ways |= {
        network("192.0.2.0/24"): Way(1, far),
        network("192.0.2.0/25"): Way(1, GATEWAY),
        network("192.0.2.0/26"): Way(9, number("10.0.0.3")),
    }
    found = follower.gateways()

    assert found == [("", 1, GATEWAY), ("inner", 1, GATEWAY), ("", 1, far)]
    assert follower.neighbour(("inner", 1, GATEWAY)) == HopNeighbour(1, GATEWAY, MAC)
    assert follower.neighbour(("nowhere", 1, GATEWAY)) is None


def test_a_namespace_of_the_same_name_is_followed_anew(
    follower: HopFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that there is no more has no next hops."""
    old = place_of(follower, "inner")
    old.gone = old.heard = True
    assert follower.hear()
    follower.doubt()
    assert old.doubted
    follower.watched()
    assert old.closed
    assert place_of(follower, "inner") is not old
    place_of(follower, "inner").gone = True
    monkeypatch.setattr(hop_follower, "namespaces", list)
    assert follower.watched() == [7]
    assert follower.make(1, is_open=True) is not None


def test_whom_natlb_answers_for_is_of_the_generation(follower: HopFollower) -> None:
    """Another address there is another generation, and so is a VLAN's interface."""
    asked = number("10.0.0.7")
    content = follower.make(1, is_open=True, answered=[(asked, 3)])
    assert content is not None
    answered = read(content).answered
    assert [tuple(map(int, each)) for each in answered.tolist()] == [(*lanes(asked), 3)]
    assert follower.make(2, is_open=True, answered=[(asked, 3)]) is None
    assert follower.make(3, is_open=True) is not None
