"""What is read of the host for a look, and that it is read once."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.host.make_tun import IP4_SYSCTLS, IP6_SYSCTLS, AddIpv6, MakeTun
from natlb.control.host.operation import (
    PROTOCOL,
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    MoveLocal,
    Operation,
    SetSysctl,
    kernels_local,
)
from natlb.control.host.seen import Seen
from tests.paper_host import link

if TYPE_CHECKING:
    from natlb.netlink.values import Link

TUN = replace(link("natlb-pub", "192.0.0.8/32", "fd6e:6174:6c62::7/128"), kind="tun")
ROUTE = AddRoute(netns="", destination="203.0.113.10/32", dev="natlb-pub", table=254)
ROUTE6 = AddRoute(netns="", destination="2001:db8:2::10/128", dev="natlb-pub", table=254)
RULE = AddRule(netns="", version=4, priority=100, table=6285, iif="eth1", source="10.77.0.11/32")
LOCAL = MoveLocal(netns="", version=4, priority=94)
PROXY = AddProxy(netns="", address="198.51.100.10", dev="eth0")
SYSCTL = SetSysctl(netns="", key="net/ipv4/conf/eth0/forwarding", value="1")
ALL6 = ForwardAll(netns="")
DEVICE = MakeTun(netns="", name="natlb-pub", mtu=1500, address="192.0.0.8/32", scope="host")
IPV6 = AddIpv6(netns="", name="natlb-pub", address="fd6e:6174:6c62::7/128")


class Kernel:
    """Hands, and the netlink session that they give, of a host where all is well."""

    def __init__(self) -> None:
        """Have all of natlb's."""
        self.asked: list[str] = []
        self.link: Link | None = TUN
        self.route_list = [ROUTE._route(), replace(ROUTE6._route(), metric=1024)]
        self.rule_list = [RULE._rule(), LOCAL._moved()]
        self.proxy_list = [PROXY._proxy()]
        self.sysctls = {SYSCTL.key: "1", ForwardAll.ALL: "1"}
        for version, values in ((4, IP4_SYSCTLS), (6, IP6_SYSCTLS)):
            for key, value in values.items():
                self.sysctls[f"net/ipv{version}/conf/natlb-pub/{key}"] = value

    def netlink(self, _netns: str) -> Kernel:
        """Return this."""
        return self

    def read(self, _netns: str, key: str) -> str | None:
        """Return a sysctl."""
        return self.sysctls.get(key)

    def links(self) -> list[Link]:
        """Return the interfaces."""
        self.asked.append("links")
        return [link("eth0", "198.51.100.1/24"), *([self.link] if self.link else [])]

    def routes(self, version: int, *, protocol: int) -> list[Any]:
        """Return the routes of this protocol."""
        self.asked.append(f"routes {version}")
        assert protocol == PROTOCOL
        return [each for each in self.route_list if each.destination.version == version]

    def rules(self, version: int) -> list[Any]:
        """Return the rules."""
        self.asked.append(f"rules {version}")
        return self.rule_list

    def proxies(self, version: int) -> list[Any]:
        """Return the proxies."""
        self.asked.append(f"proxies {version}")
        return self.proxy_list

    def stands(self, operation: Operation) -> bool:
        """Return whether this stands, looked at anew."""
        return operation.stands(Seen(self))  # type: ignore[arg-type]


@pytest.fixture
def kernel() -> Kernel:
    """Return a host where all is well."""
    return Kernel()


ALL = [ROUTE, ROUTE6, RULE, LOCAL, PROXY, SYSCTL, ALL6, DEVICE, IPV6]


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_what_is_there_stands(kernel: Kernel, operation: Operation) -> None:
    """Whatever the kernel adds to it: a metric to a route of IPv6."""
    assert kernel.stands(operation)


def test_what_is_not_there_does_not_stand(kernel: Kernel) -> None:
    """Each kind by itself."""
    kernel.route_list.clear()
    kernel.rule_list.clear()
    kernel.proxy_list.clear()
    kernel.sysctls |= {SYSCTL.key: "0", ForwardAll.ALL: "0"}
    kernel.link = replace(TUN, up=False, addresses=())

    assert not any(kernel.stands(each) for each in ALL)


def test_another_route_to_the_same_place_is_not_natlbs(kernel: Kernel) -> None:
    """By another device, or to be called from another address."""
    kernel.route_list = [replace(ROUTE._route(), dev="eth0")]
    assert not kernel.stands(ROUTE)
    kernel.route_list = [replace(ROUTE._route(), table=7)]
    assert not kernel.stands(ROUTE)


def test_the_kernels_own_rule_before_natlbs_is_one_too_many(kernel: Kernel) -> None:
    """It is asked first, and services of a shared VIP are cut off."""
    kernel.rule_list.append(kernels_local(4))

    assert not kernel.stands(LOCAL)


@pytest.mark.parametrize(
    "changed",
    [
        {"up": False},
        {"mtu": 1280},
        {"kind": "dummy"},
        {"addresses": (ip_interface("192.0.0.9/32"),)},
    ],
)
def test_a_device_that_is_another_by_now_does_not_stand(
    kernel: Kernel, changed: dict[str, Any]
) -> None:
    """Down, smaller, without its address, or only of the same name."""
    kernel.link = replace(TUN, **changed)

    assert not kernel.stands(DEVICE)
    assert DEVICE.is_lost(Seen(kernel)) is ("kind" in changed)  # type: ignore[arg-type]


def test_a_device_whose_settings_changed_does_not_stand(kernel: Kernel) -> None:
    """The ones of IPv4 and of IPv6 are asked apart."""
    kernel.sysctls["net/ipv4/conf/natlb-pub/rp_filter"] = "1"
    assert (kernel.stands(DEVICE), kernel.stands(IPV6)) == (False, True)
    kernel.sysctls["net/ipv6/conf/natlb-pub/accept_ra"] = "1"
    assert not kernel.stands(IPV6)


def test_what_belongs_to_an_interface_that_has_gone_is_not_missed(kernel: Kernel) -> None:
    """It comes back with the interface, and is made then. A lost device is missed, once."""
    kernel.link = None
    del kernel.sysctls[SYSCTL.key]

    assert kernel.stands(SYSCTL)
    assert kernel.stands(replace(PROXY, dev="eth9"))
    assert kernel.stands(IPV6)
    assert not kernel.stands(DEVICE)
    assert DEVICE.is_lost(Seen(kernel))  # type: ignore[arg-type]


def test_each_list_is_read_once_for_a_look(kernel: Kernel) -> None:
    """However many operations ask."""
    seen = Seen(kernel)  # type: ignore[arg-type]
    for operation in ALL * 3:
        operation.stands(seen)

    assert sorted(kernel.asked) == ["links", "proxies 4", "routes 4", "routes 6", "rules 4"]
