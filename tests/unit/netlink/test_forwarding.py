"""Links, routes, rules and neighbours by the kernel's own octets, written here by hand."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from natlb.netlink import forwarding
from natlb.netlink.asking import Said
from natlb.netlink.forwarding import (
    MAPPED,
    HopNeighbour,
    HopRoute,
    HopRule,
    RouteReader,
    TooManyError,
    parse_link,
    parse_neighbour,
    parse_route,
    parse_rule,
)
from tests.unit.netlink.test_asking import attribute

MAC = bytes.fromhex("020000000001")
UP = 0x1 | 0x10000


def number(value: int) -> bytes:
    """Return a word."""
    return struct.pack("=I", value)


def link(*attributes: bytes, kind: int = 1, flags: int = UP) -> bytes:
    """Return an interface of index 3."""
    usual = attribute(1, MAC) + attribute(3, b"eth0\0") + attribute(4, number(1500))
    return forwarding.LINK.pack(0, 0, kind, 3, flags, 0) + usual + b"".join(attributes)


def route(*attributes: bytes, length: int = 24, kind: int = 1, **words: int) -> bytes:
    """Return a route of the table main to 192.0.2.0/24 by interface 3."""
    family, flags, tos = (
        words.get("family", socket.AF_INET),
        words.get("flags", 0),
        words.get("tos", 0),
    )
    head = forwarding.ROUTE.pack(
        family, length, words.get("source", 0), tos, 254, 0, 0, kind, flags
    )
    usual = attribute(1, ip_address("192.0.2.0").packed) + attribute(4, number(3))
    return head + usual + b"".join(attributes)


def test_an_interface_sends_where_it_is_ethernet_up_and_its_own() -> None:
    """Not one without a carrier, a tunnel, a bridge's port, or a VRF."""
    said = parse_link(link(attribute(6, b"noqueue\0")))
    assert (said.number, said.name, said.mtu, said.mtu6) == (3, "eth0", 1500, 1500)
    assert (said.mac, said.can_send, said.queueing) == (MAC, True, "noqueue")
    for refused in (
        link(kind=65534),
        link(flags=0x1),
        link(flags=0x10000),
        link(flags=UP | 0x80),
        link(attribute(10, number(9))),
        link(attribute(18, attribute(1, b"vrf\0"))),
    ):
        assert not parse_link(refused).can_send


def test_ip6_may_have_a_smaller_mtu() -> None:
    """A router advertised it; a larger one counts for nothing."""
    for said, seen in ((1400, 1400), (9000, 1500), (0, 1500)):
        values = struct.pack("=3i", 1, 64, said)
        inner = attribute(26, attribute(socket.AF_INET6, attribute(2, values)))
        assert parse_link(link(inner)).mtu6 == seen


def test_a_route_says_where_it_leads() -> None:
    """On the link, by a gateway, with an MTU and a metric of its own."""
    network = MAPPED | int(ip_address("192.0.2.0"))
    gateway = ip_address("10.0.0.1")
    metrics = attribute(8, attribute(2, number(1300)))
    assert parse_route(route()) == HopRoute(254, network, 120, 0, 3, 0, 0)
    told = parse_route(route(attribute(5, gateway.packed), attribute(6, number(7)), metrics))
    assert told == HopRoute(254, network, 120, 7, 3, MAPPED | int(gateway), 1300)
    assert parse_route(route(attribute(15, number(1000)))) == HopRoute(
        1000, network, 120, 0, 3, 0, 0
    )


@pytest.mark.parametrize(
    "octets",
    [
        route(kind=6),
        route(attribute(9, b"several")),
        route(attribute(22, b"wrapped")),
        route(attribute(30, number(1))),
        route(attribute(18, b"by IPv6")),
        route(flags=1),
        route(flags=16),
    ],
)
def test_what_natlb_does_not_follow_is_the_hosts(octets: bytes) -> None:
    """Blackholes, several next hops, encapsulation, next hop objects, dead ways."""
    said = parse_route(octets)
    assert said is not None
    assert (said.link, said.gateway, said.metric) == (0, 0, 0)


def test_what_is_for_some_packets_of_a_network_makes_it_the_hosts() -> None:
    """By type of service, by source: its metric comes before all others."""
    for octets in (route(tos=16), route(source=64, family=socket.AF_INET6, length=64)):
        said = parse_route(octets)
        assert said is not None
        assert (said.metric, said.link) == (-1, 0)


def test_what_is_no_route_is_passed_over() -> None:
    """A cached answer; MPLS."""
    assert parse_route(route(flags=0x200)) is None
    assert parse_route(route(family=28)) is None


def test_a_rule_says_whom_it_is_for() -> None:
    """What the kernel always says and means nothing by, is nothing."""

    def rule(*attributes: bytes, length: int = 0, source: int = 0, flags: int = 0) -> HopRule:
        head = forwarding.RULE.pack(socket.AF_INET, length, source, 0, 254, 0, 0, 1, flags)
        usual = attribute(6, number(100)) + attribute(14, b"\xff" * 4) + attribute(21, b"\2")
        return parse_rule(head + usual + b"".join(attributes))

    plain = HopRule(1, 254, 2, "", "", MAPPED, 0, is_inverted=False, is_other=False)
    assert rule() == plain
    assert rule().asks_nothing
    network = ip_address("192.0.2.0")
    told = rule(attribute(1, network.packed), length=24)
    assert told == plain._replace(network=MAPPED | int(network), length=120)
    assert rule(attribute(3, b"eth0\0"), attribute(17, b"eth1\0"))[3:5] == ("eth0", "eth1")
    assert rule(flags=2).is_inverted
    for other in (rule(source=24), rule(attribute(10, number(1))), rule(attribute(14, number(0)))):
        assert other.is_other
        assert not other.asks_nothing


def test_a_neighbour_has_a_hardware_address_while_it_is_valid() -> None:
    """STALE is; FAILED, deleted, or of another kind of link is not. A proxy is no neighbour."""
    address = ip_address("10.0.0.9")

    def said(state: int, *attributes: bytes, kind: int = 28, flags: int = 0) -> HopNeighbour | None:
        head = forwarding.NEIGHBOUR.pack(socket.AF_INET, 0, 0, 3, state, flags, 1)
        usual = attribute(1, address.packed) + b"".join(attributes)
        return parse_neighbour(Said(kind, False, head + usual))

    seen = HopNeighbour(3, MAPPED | int(address), MAC)
    assert said(0x04, attribute(2, MAC)) == seen
    assert seen.place == (3, MAPPED | int(address))
    managed = said(0x80, attribute(2, MAC), attribute(15, number(1)), attribute(12, b"\x4e"))
    assert managed == seen._replace(is_permanent=True, is_managed=True, protocol=78)
    for gone in (said(0x20, attribute(2, MAC)), said(4, attribute(2, MAC), kind=29), said(4)):
        assert gone == seen._replace(mac=b"")
    assert said(4, attribute(2, MAC), flags=8) is None
    assert said(4, kind=24) is None


def test_routes_are_read_up_to_a_bound_and_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A router with a full table costs no more than the bound."""
    bodies = [route(attribute(6, number(each))) for each in range(10)]

    def dumped(*_: object) -> list[Said]:
        return [Said(24, False, body) for body in bodies] + [Said(20, True, b"")]

    monkeypatch.setattr(forwarding, "dump", dumped)
    reader = RouteReader()
    routes, is_torn = reader.read(None, 4, 10)
    again, _ = reader.read(None, 4, 10)

    assert [each.metric for each in routes] == list(range(10))
    assert is_torn
    assert all(one is other for one, other in zip(routes, again, strict=True))
    with pytest.raises(TooManyError):
        reader.read(None, 4, 9)
    monkeypatch.setattr(forwarding, "parse_route", lambda _: None)
    assert RouteReader().read(None, 4, 0) == ([], True)


def test_an_interface_of_a_vlan_says_below_which_it_stands() -> None:
    """By the one below, and the number; any other says nothing of the kind."""
    numbered = attribute(2, attribute(1, struct.pack("=H", 77)))
    made = attribute(18, attribute(1, b"vlan\0") + numbered)

    assert parse_link(link(attribute(5, number(2)), made)).vlan == 2 << 12 | 77
    assert parse_link(link(attribute(5, number(2)))).vlan == 0
