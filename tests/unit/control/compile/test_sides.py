from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np

from natlb.control.compile import Sides, WayOut
from natlb.core.layout import DUMMY_ADDRESS4, PRIVATE, PUBLIC, WAY


def test_ways_out_have_their_mtu_and_addresses() -> None:
    """The dummy of RFC 7600 where there is no IPv4 address, and none where there is no IPv6 one."""
    sides = Sides(
        public=WayOut(mtu=1400),
        private=WayOut(
            mtu=9000, address4=IPv4Address("10.9.0.1"), address6=IPv6Address("fd00:9::1")
        ),
    )
    ways = np.zeros(2, WAY)
    sides.fill(ways)
    public, private = ways[PUBLIC], ways[PRIVATE]

    assert (public["side"], public["mtu"], public["address4"]) == (PUBLIC, 1400, DUMMY_ADDRESS4)
    assert not any(public[f"address6_{lane}"] for lane in range(4))
    assert (private["side"], private["mtu"]) == (PRIVATE, 9000)
    assert private["address4"] == int(IPv4Address("10.9.0.1"))
    assert [int(private[f"address6_{lane}"]) for lane in range(4)] == [0xFD000009, 0, 0, 1]


def test_what_both_sides_are_together() -> None:
    """The smaller MTU, and the host's addresses wherever they are."""
    here, there = IPv4Address("203.0.113.10"), IPv4Address("10.9.0.1")
    sides = Sides(
        public=WayOut(mtu=1500, hosts=(here,)), private=WayOut(mtu=1400, hosts=(there, here))
    )

    assert sides.least_mtu == 1400
    assert sides.hosts == {here, there}
    assert Sides().least_mtu == 65535
    assert not Sides().hosts
