from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from natlb.control.host.blackhole import AddBlackhole
from natlb.control.host.operation import PROTOCOL
from natlb.netlink.values import KernelError, Route

VIP = AddBlackhole(netns="left", destination="203.0.113.10/32")
VIP6 = AddBlackhole(netns="left", destination="2001:db8::10/128")


class Kernel:
    """Hands, their netlink session, and what is seen by it: routes alone."""

    def __init__(self) -> None:
        """Have no route."""
        self.held: list[Route] = []

    def netlink(self, netns: str) -> Kernel:
        """Return this."""
        assert netns == "left"
        return self

    def add_route(self, route: Route) -> None:
        """Have it, unless there is one."""
        if any(each.destination == route.destination for each in self.held):
            raise KernelError("add", errno.EEXIST)
        shown = replace(route, dev="lo", metric=1024) if ":" in str(route.destination) else route
        self.held.append(shown)

    def delete_route(self, route: Route) -> None:
        """Have it no longer."""
        left = [each for each in self.held if each.destination != route.destination]
        if left == self.held:
            raise KernelError("delete", errno.ESRCH)
        self.held = left

    def routes(self, _netns: str, version: int) -> list[Route]:
        """Return those of one version."""
        return [each for each in self.held if each.destination.version == version]


def test_it_stands_from_when_it_is_done_until_it_is_undone() -> None:
    """IPv6 shows a device and a metric that nobody asked for."""
    kernel: Any = Kernel()
    for each in (VIP, VIP6):
        assert not each.stands(kernel)
        each.do(kernel)
        assert each.stands(kernel)
        each.undo(kernel, {})
        assert not each.stands(kernel)
        each.undo(kernel, {})  # gone already


def test_it_is_one_route_of_natlbs() -> None:
    """By its mark it is found after a crash."""
    kernel: Any = Kernel()
    VIP.do(kernel)

    expected = Route(destination=ip_network("203.0.113.10/32"), kind="blackhole", protocol=PROTOCOL)
    assert kernel.held == [expected]
    assert str(VIP) == "route blackhole 203.0.113.10/32"


def test_what_somebody_put_in_its_place_is_not_it() -> None:
    """A way to a VIP is no blackhole, and mending says so."""
    kernel: Any = Kernel()
    kernel.held = [Route(destination=ip_network("203.0.113.10/32"), dev="eth0", protocol=PROTOCOL)]

    assert not VIP.stands(kernel)
    try:
        VIP.mend(kernel)
    except KernelError as error:
        assert error.errno == errno.EEXIST  # noqa: PT017 - what was raised is what is asked
    else:
        raise AssertionError
    kernel.held = []
    VIP.mend(kernel)
    assert VIP.stands(kernel)
