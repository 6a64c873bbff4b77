from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.control.host.view import View
from natlb.errors import HostError
from tests.paper_host import PaperHost, link


def test_natlbs_own_devices_are_no_interfaces_of_the_host() -> None:
    """A reload looks again while they stand."""
    host = PaperHost()
    host.own.links += [link("natlb-pub", "192.0.0.8/32"), link("natlb-prv", "192.0.0.11/32")]

    assert [each.name for each in View(host, "").devices] == ["eth0", "eth1"]


def test_what_was_forwarded_before_is_read_by_interface() -> None:
    """IPv4 has a value for each; IPv6 one for all, and one to force each since 6.17."""
    host = PaperHost()
    host.own.sysctls |= {
        "net/ipv4/conf/eth0/forwarding": "1",
        "net/ipv4/conf/eth1/forwarding": "0",
        "net/ipv6/conf/eth1/force_forwarding": "1",
    }
    side = View(host, "").side(host.own.links[1:], ())

    assert [(each.open4, each.open6) for each in side.devices] == [(True, False), (False, True)]

    host.own.sysctls["net/ipv6/conf/all/forwarding"] = "1"
    side = View(host, "").side(host.own.links[1:], ())

    assert [each.open6 for each in side.devices] == [True, True]


def test_who_hears_router_advertisements_is_noted() -> None:
    """Those interfaces would lose their default route when they begin to forward."""
    host = PaperHost()
    for name, accepts, forwards in (("default", 1, 0), ("eth0", 1, 0), ("eth1", 1, 1)):
        host.own.sysctls[f"net/ipv6/conf/{name}/accept_ra"] = str(accepts)
        host.own.sysctls[f"net/ipv6/conf/{name}/forwarding"] = str(forwards)
    view = View(host, "")

    assert view.side([], ()).ra_devices == ("default", "eth0")


def test_an_address_alone_is_no_subnet() -> None:
    """Nobody asks for a VIP on a link that holds nothing but the host."""
    view = View(PaperHost(), "")

    assert not view.holds(link("eth0", "203.0.113.10/32"), ip_address("203.0.113.10"))
    assert view.holds(link("eth0", "203.0.113.10/31"), ip_address("203.0.113.11"))
    assert not view.holds(link("eth0", "203.0.113.0/24"), ip_address("2001:db8::1"))


def test_a_name_like_no_other_is_answered_with_those_there_are() -> None:
    """So that the user need not look."""
    with pytest.raises(HostError) as error:
        View(PaperHost(), "").named(("wlan0",))

    assert error.value.fix == "there are: eth0, eth1"
