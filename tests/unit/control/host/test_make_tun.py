from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from natlb.control.host.hands import Hands
from natlb.control.host.make_tun import QUEUE_PACKETS, AddIpv6, MakeTun
from natlb.errors import BusyError, HostError
from natlb.netlink import Netlink, write_sysctl
from tests.gateway import forwards, ip, namespaces_of, packets, snapshot, sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def name() -> Iterator[str]:
    """Return an empty namespace."""
    with namespaces_of("a") as [name]:
        yield name


def device(netns: str) -> MakeTun:
    """Return the operation that makes natlb-prv there."""
    return MakeTun(netns=netns, name="natlb-prv", mtu=9000, address="192.0.0.11/32", scope="global")


def ipv6(netns: str) -> AddIpv6:
    """Return the operation that gives it IPv6."""
    return AddIpv6(netns=netns, name="natlb-prv", address="fd6e:6174:6c62::8/128")


def test_the_device_is_ready_to_carry_packets(name: str) -> None:
    """Up, with addresses, MTU, a long queue, and the filters that would drop opened."""
    with Hands() as hands:
        device(name).do(hands)
        ipv6(name).do(hands)
        queue = hands.queues["natlb-prv"]
        [shown] = ip(name, "address", "show", "dev", "natlb-prv")
        addresses = [each["local"] for each in shown["addr_info"]]

        assert addresses == ["192.0.0.11", "fd6e:6174:6c62::8"]
        assert (shown["mtu"], shown["txqlen"]) == (9000, QUEUE_PACKETS)
        assert "UP" in shown["flags"]
        for key, value in (("rp_filter", "2"), ("accept_local", "1"), ("forwarding", "1")):
            assert sysctl(name, f"net/ipv4/conf/natlb-prv/{key}") == value
        os.close(queue.fd)


@pytest.mark.parametrize("routes", [False, True])
@pytest.mark.parametrize("uses_ipv6", [False, True])
def test_the_kernel_says_nothing_of_its_own_into_the_queue(
    name: str, *, routes: bool, uses_ipv6: bool
) -> None:
    """No solicitation of routers, no multicast report, within the second they may take.

    RFC 3810, section 9.11: a report is sent within a second of the change it speaks of.
    """
    forwards(name, open_before=routes)
    with Hands() as hands:
        device(name).do(hands)
        if uses_ipv6:
            ipv6(name).do(hands)
        queue = hands.queues["natlb-prv"]
        heard = packets(queue, seconds=1.5)
        os.close(queue.fd)

    assert heard == []


def test_an_address_of_scope_host_is_nobodys_source(name: str) -> None:
    """A client on the host itself calls from an address that the answers can reach."""
    with Hands() as hands, Netlink(name) as netlink:
        netlink.add_bridge("br0")
        netlink.add_address("br0", "10.9.0.1/24")
        netlink.set_up("br0")
        replace(device(name), address="192.0.0.8/32", scope="host").do(hands)
        ip(name, "route", "add", "203.0.113.10/32", "dev", "natlb-prv")
        source = netlink.route_to("203.0.113.10").source
        os.close(hands.queues["natlb-prv"].fd)

    assert str(source) == "10.9.0.1"


def test_undone_it_is_gone_though_somebody_holds_the_queue(name: str) -> None:
    """A worker that does not die must not keep the host changed."""
    before = snapshot(name)
    with Hands() as hands:
        device(name).do(hands)
        device(name).undo(hands, {})

        assert snapshot(name) == before
        device(name).undo(hands, {})
        os.close(hands.queues["natlb-prv"].fd)


def test_ipv6_comes_and_goes_while_the_device_stays(name: str) -> None:
    """A reload may bring the first IPv6 address, or take the last one away."""
    with Hands() as hands:
        device(name).do(hands)
        without = snapshot(name)
        ipv6(name).do(hands)

        assert sysctl(name, "net/ipv6/conf/natlb-prv/disable_ipv6") == "0"
        ipv6(name).undo(hands, {})

        assert snapshot(name)["address"] == without["address"]
        os.close(hands.queues["natlb-prv"].fd)
        ipv6(name).undo(hands, {})


def test_somebody_elses_device_of_that_name_is_neither_taken_nor_deleted(name: str) -> None:
    """It is not a TUN of natlb's."""
    with Hands() as hands, Netlink(name) as netlink:
        netlink.add_bridge("natlb-prv")
        with pytest.raises(BusyError):
            device(name).do(hands)
        device(name).undo(hands, {})

        assert netlink.has_link("natlb-prv")


def test_a_device_that_cannot_be_finished_is_not_left_half_made(name: str) -> None:
    """Refused means not done."""
    with Hands() as hands, Netlink(name) as netlink:
        with pytest.raises(HostError):
            replace(device(name), mtu=1 << 20).do(hands)

        assert not netlink.has_link("natlb-prv")
        assert hands.queues == {}


def test_ipv6_works_on_it_where_the_host_switched_it_off_by_default(name: str) -> None:
    """A service with IPv6 addresses needs it on the device, whatever `default` says."""
    write_sysctl("net/ipv6/conf/default/disable_ipv6", "1", netns=name)
    with Hands() as hands:
        device(name).do(hands)
        ipv6(name).do(hands)

        assert sysctl(name, "net/ipv6/conf/natlb-prv/disable_ipv6") == "0"
        os.close(hands.queues["natlb-prv"].fd)
