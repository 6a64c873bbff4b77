"""What natlb relies on of policy rules, routes and the kernel's own errors."""

from __future__ import annotations

import os
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import raw

from natlb.control.host.tun import Tun, open_tun
from natlb.netlink import KernelError, Netlink, Route, Rule, write_sysctl
from tests.gateway import (
    BACKEND4,
    CLIENT4,
    VIP4,
    Gateway,
    ends,
    first_packet,
    forwards,
    gateway,
    ip,
    packets,
    send,
    udp,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns
EVERYTHING = ip_network("0.0.0.0/0")


@pytest.fixture
def place() -> Iterator[Gateway]:
    """Return a gateway that forwards everything."""
    with gateway() as made:
        forwards(made.gateway, open_before=True)
        yield made


@pytest.fixture
def netlink(place: Gateway) -> Iterator[Netlink]:
    """Return a session in the gateway."""
    with Netlink(place.gateway) as session:
        yield session


@pytest.fixture
def tun(place: Gateway, netlink: Netlink) -> Iterator[Tun]:
    """Return the queue of t0 in the gateway, up, ready for whatever is written."""
    queue = open_tun("t0", place.gateway)
    write_sysctl("net/ipv6/conf/t0/disable_ipv6", "1", netns=place.gateway)  # it would talk
    for key, value in (("rp_filter", "2"), ("forwarding", "1")):
        write_sysctl(f"net/ipv4/conf/t0/{key}", value, netns=place.gateway)
    netlink.add_address("t0", "192.0.0.11/32")
    netlink.set_up("t0")
    yield queue
    os.close(queue.fd)


def test_a_rule_by_interface_and_source_takes_fragments_too(
    place: Gateway, netlink: Netlink, tun: Tun
) -> None:
    """A later fragment has no port to choose by."""
    netlink.add_route(Route(destination=EVERYTHING, dev="t0", table=6285))
    netlink.add_rule(
        Rule(version=4, priority=100, iif="prv", source=ip_network(BACKEND4), table=6285)
    )
    send(place.backend, CLIENT4, b"x" * 4000)

    assert len(packets(tun)) == 3


def test_what_is_for_the_host_is_looked_up_before_any_rule(
    place: Gateway, netlink: Netlink, tun: Tun
) -> None:
    """The local table has priority 0: a backend still talks to its gateway."""
    netlink.add_route(Route(destination=EVERYTHING, dev="t0", table=6285))
    netlink.add_rule(Rule(version=4, priority=1, iif="prv", table=6285))
    send(place.backend, "10.77.0.1")

    assert packets(tun) == []


def test_a_rule_for_an_interface_by_name_waits_for_it(place: Gateway, netlink: Netlink) -> None:
    """Before it is there, and after it has gone: rules of a TUN survive its deletion."""
    netlink.add_rule(Rule(version=4, priority=100, iif="t0", action="prohibit"))
    for _ in range(2):
        [rule] = [rule for rule in ip(place.gateway, "rule") if rule["priority"] == 100]

        assert "iif_detached" in rule
        queue = open_tun("t0", place.gateway)
        [rule] = [rule for rule in ip(place.gateway, "rule") if rule["priority"] == 100]

        assert "iif_detached" not in rule
        os.close(queue.fd)


def test_routes_go_with_their_device(place: Gateway, netlink: Netlink) -> None:
    """Of every table."""
    queue = open_tun("t0", place.gateway)
    netlink.set_up("t0")
    netlink.add_route(Route(destination=ip_network(VIP4), dev="t0"))
    netlink.add_route(Route(destination=EVERYTHING, dev="t0", table=6285))
    os.close(queue.fd)

    assert netlink.routes(4, table=6285) == []
    assert all(route.destination != ip_network(VIP4) for route in netlink.routes(4))


@pytest.mark.parametrize("version", [4, 6])
def test_rules_and_routes_are_deleted_by_protocol(netlink: Netlink, version: int) -> None:
    """Two that differ in nothing else are two, and the other one stays."""
    ours = Rule(version=4 if version == 4 else 6, priority=100, table=7, protocol=78)
    theirs = Rule(version=ours.version, priority=100, table=7, protocol=4)
    netlink.add_rule(theirs)
    netlink.add_rule(ours)
    netlink.delete_rule(ours)

    assert [rule for rule in netlink.rules(ours.version) if rule.priority == 100] == [theirs]
    network = ip_network("203.0.113.10/32" if version == 4 else "2001:db8::1/128")
    netlink.add_route(Route(destination=network, kind="blackhole", protocol=4))
    with pytest.raises(KernelError, match="No such process"):
        netlink.delete_route(Route(destination=network, kind="blackhole", protocol=78))


def test_prohibit_by_interface_leaves_what_is_local_alone(place: Gateway, netlink: Netlink) -> None:
    """It closes forwarding, not the host."""
    netlink.add_rule(Rule(version=4, priority=104, iif="pub", action="prohibit"))
    with udp(place.gateway) as listener:
        listener.bind(("198.51.100.1", 7000))
        send(place.client, "198.51.100.1", port=7000)

        assert listener.recv(10) == b"x"


@pytest.mark.parametrize("inbound", ["0", "1"])
def test_an_error_about_a_packet_of_the_device_can_have_its_address(
    place: Gateway, netlink: Netlink, tun: Tun, inbound: str
) -> None:
    """Known by that, it is the only thing of the host's own that a rule brings to the device."""
    write_sysctl("net/ipv4/icmp_errors_use_inbound_ifaddr", inbound, netns=place.gateway)
    netlink.add_route(Route(destination=EVERYTHING, dev="t0", table=6285))
    netlink.add_rule(
        Rule(
            version=4,
            priority=101,
            iif="lo",
            source=ip_network("192.0.0.11/32"),
            ip_protocol=1,
            table=6285,
        )
    )
    write(tun, raw(IP(src=CLIENT4, dst=BACKEND4, ttl=1) / UDP(dport=7000) / b"x"))
    if inbound == "1":
        assert ends(first_packet(tun)) == ("192.0.0.11", CLIENT4, 1)
    else:
        assert packets(tun) == []


def test_errors_quote_what_natlb_wrote(place: Gateway, netlink: Netlink, tun: Tun) -> None:
    """The private tuple: such an error must not reach the client as it is."""
    write_sysctl("net/ipv4/icmp_errors_use_inbound_ifaddr", "1", netns=place.gateway)
    netlink.add_route(Route(destination=EVERYTHING, dev="t0", table=6285))
    netlink.add_rule(Rule(version=4, priority=101, iif="lo", ip_protocol=1, table=6285))
    write(tun, raw(IP(src=CLIENT4, dst=BACKEND4, flags="DF") / UDP(dport=7000) / bytes(1600)))
    error = first_packet(tun)

    assert (error[20], error[21]) == (3, 4), "fragmentation needed"
    assert ends(error[28:]) == (CLIENT4, BACKEND4, 17)
