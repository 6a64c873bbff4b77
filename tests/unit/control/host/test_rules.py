from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.host.rules import has_closed_private, merged, places, routed_vips
from tests.paper_host import apart, host_plan, opened, sharing


def test_one_namespace_is_one_place_and_two_are_two() -> None:
    """What both sides stand in is closed and opened once."""
    [both] = places(host_plan())
    public, private = places(apart(host_plan()))

    assert (both.is_public, both.is_private) == (True, True)
    assert [device.name for device in both.devices] == ["eth0", "eth1"]
    assert both.tuns == ["natlb-pub", "natlb-prv"]
    assert (public.netns, public.tuns) == ("left", ["natlb-pub"])
    assert (private.netns, private.tuns) == ("right", ["natlb-prv"])


def test_closed_is_what_forwarded_nothing_before() -> None:
    """By IP version."""
    assert places(host_plan())[0].closed(4) == ["eth0", "eth1"]
    assert places(opened(host_plan()))[0].closed(6) == []
    assert has_closed_private(host_plan(), 4)
    assert not has_closed_private(opened(host_plan()), 4)


def test_a_vip_of_the_hosts_own_is_not_routed() -> None:
    """It is local, and stays so."""
    assert routed_vips(sharing()) == []
    assert routed_vips(host_plan()) == list(host_plan().vips)


@pytest.mark.parametrize("version", [4, 6])
@given(st.data())
def test_merged_prefixes_cover_the_backends_and_nobody_else(
    version: int, data: st.DataObject
) -> None:
    """One address too many is a stranger's traffic in the TUN; one too few a lost answer."""
    base = int(ip_address("10.77.0.0" if version == 4 else "fd77::"))
    chosen = data.draw(st.sets(st.integers(0, 63), max_size=40))
    kind = type(ip_address("10.0.0.1" if version == 4 else "fd77::1"))
    prefixes = merged([kind(base + each) for each in chosen], version)  # type: ignore[arg-type]
    network = IPv4Network if version == 4 else IPv6Network
    covered = [int(address) - base for prefix in prefixes for address in network(prefix)]

    assert sorted(covered) == sorted(chosen)


def test_neighbouring_backends_share_a_rule() -> None:
    """A rule costs each packet of the host about 20 ns."""
    backends = [ip_address(f"10.77.0.{number}") for number in range(64)]

    assert merged(backends, 4) == ["10.77.0.0/26"]
    assert merged([*backends, ip_address("fd77::1")], 6) == ["fd77::1/128"]
