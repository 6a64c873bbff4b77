"""What natlb relies on where the kernel answers ARP and neighbour solicitations for a VIP."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from natlb.control.host.tun import Tun, open_tun
from natlb.netlink import Netlink, Proxy, Route, write_sysctl
from tests.gateway import SUBNET_VIP4, SUBNET_VIP6, Gateway, gateway, packets, send, sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def place() -> Iterator[Gateway]:
    """Return a gateway that forwards nothing."""
    with gateway() as made:
        yield made


@pytest.fixture
def tun(place: Gateway) -> Iterator[Tun]:
    """Return the queue of t0 in the gateway, with routes to both VIPs and proxies for them."""
    queue = open_tun("t0", place.gateway)
    write_sysctl("net/ipv6/conf/t0/accept_ra", "0", netns=place.gateway)
    write_sysctl("net/ipv6/conf/t0/addr_gen_mode", "1", netns=place.gateway)
    with Netlink(place.gateway) as netlink:
        netlink.set_up("t0")
        for vip in (SUBNET_VIP4, SUBNET_VIP6):
            netlink.add_route(Route(destination=ip_network(vip), dev="t0"))
            netlink.add_proxy(Proxy(address=ip_address(vip), dev="pub"))
    yield queue
    os.close(queue.fd)


def set_all(place: Gateway, **values: str) -> None:
    """Set sysctls of `pub`, FAMILY_KIND_KEY for net/FAMILY/KIND/pub/KEY."""
    for name, value in values.items():
        family, kind, key = name.split("_", 2)
        write_sysctl(f"net/{family}/{kind}/pub/{key}", value, netns=place.gateway)


def test_arp_is_answered_by_an_interface_that_forwards(place: Gateway, tun: Tun) -> None:
    """And by no other, proxy or not."""
    set_all(place, ipv4_neigh_proxy_delay="0")
    send(place.client, SUBNET_VIP4)

    assert packets(tun) == []
    set_all(place, ipv4_conf_forwarding="1")
    with Netlink(place.client) as client:
        client.set_down("c0")
        client.set_up("c0")
    send(place.client, SUBNET_VIP4)

    assert len(packets(tun)) == 1


@pytest.mark.parametrize("router", [False, True])
def test_solicitations_are_answered_on_a_routers_interface_alone(
    place: Gateway, tun: Tun, *, router: bool
) -> None:
    """Forced forwarding does not count: the interface's own `forwarding` does."""
    set_all(place, ipv6_neigh_proxy_delay="0", ipv6_conf_proxy_ndp="1")
    if router:
        set_all(place, ipv6_conf_forwarding="1")
    key = "net/ipv6/conf/pub/force_forwarding"
    if sysctl(place.gateway, key) is None:
        pytest.skip("needs Linux 6.17: force_forwarding")
    write_sysctl(key, "1", netns=place.gateway)
    send(place.client, SUBNET_VIP6)

    assert len(packets(tun, 0.5)) == int(router)


@pytest.mark.parametrize(("delay", "heard"), [("0", 1), ("80", 0)])
def test_a_proxy_answers_at_once_only_without_its_delay(
    place: Gateway, tun: Tun, delay: str, heard: int
) -> None:
    """80 hundredths of a second are the default, drawn at random below that."""
    set_all(place, ipv4_conf_forwarding="1", ipv4_neigh_proxy_delay=delay)
    found = 0
    for _ in range(3):
        with Netlink(place.client) as client:
            client.set_down("c0")
            client.set_up("c0")
        send(place.client, SUBNET_VIP4)
        found += len(packets(tun, 0.02))

    assert (found == 3) == bool(heard)
