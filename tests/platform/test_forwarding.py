"""What natlb relies on of forwarding, reverse path filters and local addresses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import raw

from natlb.control.host.tun import Tun, open_tun
from natlb.netlink import Netlink, write_sysctl
from tests.gateway import (
    BACKEND4,
    BACKEND6,
    CLIENT4,
    Gateway,
    first_packet,
    gateway,
    ip,
    send,
    sysctl,
    udp,
    write,
)

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
    """Return the queue of t0 in the gateway, up, forwarding, without an address."""
    queue = open_tun("t0", place.gateway)
    write_sysctl("net/ipv6/conf/t0/disable_ipv6", "1", netns=place.gateway)  # it would talk
    write_sysctl("net/ipv4/conf/t0/forwarding", "1", netns=place.gateway)
    with Netlink(place.gateway) as netlink:
        netlink.set_up("t0")
    yield queue
    os.close(queue.fd)


def arrives(place: Gateway, tun: Tun, source: str, destination: str) -> bool:
    """Return whether what is written to the TUN reaches the backend."""
    version = 6 if ":" in destination else 4
    packet = UDP(sport=5, dport=7000) / b"x"
    whole = (IP if version == 4 else IPv6)(src=source, dst=destination) / packet
    with udp(place.backend, version) as listener:
        listener.bind((destination, 7000))
        listener.settimeout(0.3)
        write(tun, raw(whole))
        try:
            return listener.recv(10) == b"x"
        except TimeoutError:
            return False


def reaches(place: Gateway, address: str) -> bool:
    """Return whether the client reaches the backend through the gateway."""
    with udp(place.backend, 6 if ":" in address else 4) as listener:
        listener.bind((address, 7000))
        listener.settimeout(0.3)
        send(place.client, address, port=7000)
        try:
            return listener.recv(10) == b"x"
        except TimeoutError:
            return False


@pytest.mark.parametrize(
    ("all_filters", "own", "address", "passes"),
    [
        ("0", "0", False, True),
        ("0", "2", False, False),
        ("1", "0", False, False),
        ("1", "2", False, False),
        ("2", "0", False, False),
        ("0", "1", True, False),
        ("1", "0", True, False),
        ("1", "2", True, True),
        ("2", "1", True, True),
        ("0", "2", True, True),
    ],
)
def test_the_larger_filter_counts_and_a_device_needs_an_address(
    place: Gateway, tun: Tun, all_filters: str, own: str, *, address: bool, passes: bool
) -> None:
    """2 with an address is the one setting that holds whatever `all` says."""
    write_sysctl("net/ipv4/conf/all/rp_filter", all_filters, netns=place.gateway)
    write_sysctl("net/ipv4/conf/t0/rp_filter", own, netns=place.gateway)
    if address:
        with Netlink(place.gateway) as netlink:
            netlink.add_address("t0", "192.0.0.8/32", scope="host")

    assert arrives(place, tun, CLIENT4, BACKEND4) == passes


@pytest.mark.parametrize("accept", ["0", "1"])
def test_a_packet_from_an_address_of_the_host_needs_accept_local(
    place: Gateway, tun: Tun, accept: str
) -> None:
    """So do natlb's own errors."""
    for key, value in (("rp_filter", "2"), ("accept_local", accept)):
        write_sysctl(f"net/ipv4/conf/t0/{key}", value, netns=place.gateway)
    with Netlink(place.gateway) as netlink:
        netlink.add_address("t0", "192.0.0.8/32")

    assert arrives(place, tun, "198.51.100.1", BACKEND4) == (accept == "1")


def test_ipv4_forwards_what_comes_in_by_an_interface_that_forwards(place: Gateway) -> None:
    """Its own value counts, not that of the way out, and not `ip_forward`."""
    assert not reaches(place, BACKEND4)
    write_sysctl("net/ipv4/conf/pub/forwarding", "1", netns=place.gateway)

    assert reaches(place, BACKEND4)
    assert sysctl(place.gateway, "net/ipv4/ip_forward") == "0"
    assert sysctl(place.gateway, "net/ipv4/conf/prv/forwarding") == "0"


def test_ipv6_forwards_by_interface_only_where_it_is_forced(place: Gateway) -> None:
    """An interface's `forwarding` makes it a router's and forwards nothing; 6.17 can force."""
    for name in ("pub", "prv"):
        write_sysctl(f"net/ipv6/conf/{name}/forwarding", "1", netns=place.gateway)

    assert not reaches(place, BACKEND6)
    if sysctl(place.gateway, "net/ipv6/conf/pub/force_forwarding") is None:
        pytest.skip("needs Linux 6.17: force_forwarding")
    write_sysctl("net/ipv6/conf/pub/force_forwarding", "1", netns=place.gateway)

    assert reaches(place, BACKEND6)


def test_ipv6_forwarding_for_all_sets_every_interface(place: Gateway) -> None:
    """Back to 0 as well: whoever was a router by itself is none after."""
    write_sysctl("net/ipv6/conf/prv/forwarding", "1", netns=place.gateway)
    write_sysctl("net/ipv6/conf/all/forwarding", "1", netns=place.gateway)

    assert reaches(place, BACKEND6)
    assert sysctl(place.gateway, "net/ipv6/conf/pub/forwarding") == "1"
    assert sysctl(place.gateway, "net/ipv6/conf/default/forwarding") == "1"
    write_sysctl("net/ipv6/conf/all/forwarding", "0", netns=place.gateway)

    assert sysctl(place.gateway, "net/ipv6/conf/prv/forwarding") == "0"


def test_forwarding_takes_one_from_the_ttl_each_time(place: Gateway, tun: Tun) -> None:
    """By route a packet passes twice: natlb reads it after the first."""
    write_sysctl("net/ipv4/conf/pub/forwarding", "1", netns=place.gateway)
    ip(place.gateway, "route", "add", "203.0.113.10", "dev", "t0")
    send(place.client, "203.0.113.10")

    assert first_packet(tun)[8] == 63
