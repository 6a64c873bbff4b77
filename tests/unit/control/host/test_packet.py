from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from natlb.control.host.choose import Choice
from natlb.control.host.packet import refuse_unfit
from natlb.errors import HostError
from tests.paper_host import host_plan, link

if TYPE_CHECKING:
    from natlb.netlink.values import Link

PACKET = Choice(driver="packet", reason="")
PLAN = replace(host_plan(), driver="packet")
LINKS = [link("eth0", "198.51.100.1/24"), link("eth1", "10.77.0.1/24")]
VIP = ip_address("203.0.113.10")


def test_a_gateway_with_two_interfaces_is_fit() -> None:
    """So is any other for the TUN, which asks nothing of interfaces."""
    refuse_unfit(PLAN, PACKET, LINKS)
    shared = replace(host_plan(), host_vips=(VIP,))
    refuse_unfit(shared, Choice(driver="tun", reason=""), [replace(LINKS[0], master="br0")])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"host_vips": (VIP,)}, "VIP 203.0.113.10 is an address of this host"),
        ({"local_backends": (VIP,)}, "backend 203.0.113.10 is an address of the private namespace"),
        ({"public": replace(PLAN.public, devices=())}, "the public side has no interface"),
        ({"private": replace(PLAN.private, devices=())}, "the private side has no interface"),
    ],
)
def test_what_comes_by_no_interface_is_refused(changed: dict[str, object], words: str) -> None:
    """The TUN does it."""
    plan = replace(PLAN, **changed)  # type: ignore[arg-type]
    with pytest.raises(HostError, match=f"^{words}, which driver packet cannot do$") as refused:
        refuse_unfit(plan, PACKET, LINKS)

    assert refused.value.fix == "datapath: {driver: tun}"


@pytest.mark.parametrize(
    ("unfit", "words", "fix"),
    [
        (replace(LINKS[0], hardware=65534), "eth0 is no Ethernet", "datapath: {driver: tun}"),
        (replace(LINKS[0], mac=""), "eth0 is no Ethernet", "datapath: {driver: tun}"),
        (replace(LINKS[0], master="br0"), "eth0 is a port of br0", "name br0 instead"),
    ],
)
def test_an_interface_that_is_no_ethernet_of_its_own_is_refused(
    unfit: Link, words: str, fix: str
) -> None:
    """With what to name instead, where there is something."""
    with pytest.raises(HostError, match=words) as refused:
        refuse_unfit(PLAN, PACKET, [LINKS[1], unfit])

    assert refused.value.fix == fix
