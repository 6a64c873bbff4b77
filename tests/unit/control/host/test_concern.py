"""Which news ask for a look, and for how much of one."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from natlb.control.host.concern import Concern, Need
from natlb.netlink.events import Change

CONCERN = Concern(ip_address(each) for each in ("203.0.113.10", "10.77.0.11", "fd77::11"))


def route(prefix: str, *, table: int = 254, protocol: int = 3) -> Change:
    """Return that a route changed."""
    network = ip_network(prefix)
    number = int(network.network_address)
    return Change("route", network.version, table, protocol, network.prefixlen, number)


@pytest.mark.parametrize(
    ("change", "need"),
    [
        (Change("link"), Need.EVERYTHING),
        (Change("address"), Need.EVERYTHING),
        (Change("rule"), Need.EVERYTHING),
        (Change("switch"), Need.EVERYTHING),
        (route("192.0.2.0/24"), Need.NOTHING),
        (route("10.77.0.0/24"), Need.EVERYTHING),
        (route("10.77.0.11/32", table=100), Need.EVERYTHING),
        (route("10.77.0.12/32"), Need.NOTHING),
        (route("0.0.0.0/0"), Need.EVERYTHING),
        (route("::/0"), Need.EVERYTHING),
        (route("fd77::/64"), Need.EVERYTHING),
        (route("fd78::/64"), Need.NOTHING),
        (route("10.77.0.11/32", table=255, protocol=2), Need.NOTHING),
        (route("0.0.0.0/0", table=6285, protocol=78), Need.STANDING),
    ],
)
def test_a_change_asks_for_what_it_may_have_touched(change: Change, need: Need) -> None:
    """Routes to elsewhere are what a router changes all day."""
    assert CONCERN.need([change]) is need


def test_of_many_changes_the_weightiest_counts() -> None:
    """None of them: nothing to do. Some lost: who knows."""
    mine = route("0.0.0.0/0", table=6285, protocol=78)

    assert CONCERN.need([]) is Need.NOTHING
    assert CONCERN.need([route("192.0.2.0/24"), mine]) is Need.STANDING
    assert CONCERN.need([mine, Change("link"), mine]) is Need.EVERYTHING
    assert CONCERN.need(None) is Need.EVERYTHING
