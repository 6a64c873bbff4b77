from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from natlb.netlink import messages
from natlb.netlink.values import Rule


class Message(dict[Any, Any]):
    """A netlink message as pyroute2 shows it: fields and attributes, None where there is none."""


def test_ones_own_address_is_read_not_the_peers() -> None:
    """A point-to-point link carries both."""
    message = Message(IFA_LOCAL="10.0.0.1", IFA_ADDRESS="10.0.0.2", prefixlen=32)
    alone = Message(IFA_ADDRESS="fd77::1", prefixlen=64)

    assert messages.read_interface_address(message) == ip_interface("10.0.0.1/32")
    assert messages.read_interface_address(alone) == ip_interface("fd77::1/64")


def test_a_link_that_tells_little_is_still_read() -> None:
    """Loopback has no kind, a tunnel no hardware address."""
    link = messages.read_link(
        Message(IFLA_IFNAME="lo", IFLA_MTU=65_536, index=1, flags=0x1, ifi_type=772),
        {1: "lo"},
        (),
    )

    assert (link.name, link.kind, link.mac, link.master) == ("lo", "", "", None)
    assert link.hardware == 772
    assert link.up
    assert not link.carrier


def test_a_table_beyond_255_is_read_from_its_attribute() -> None:
    """The field in the header has eight bits."""
    message = Message(
        RTA_TABLE=6285, RTA_OIF=2, table=252, dst_len=0, type=1, proto=78, RTA_PRIORITY=5
    )
    route = messages.read_route(message, 6, {2: "natlb-prv"})

    assert (route.table, route.dev, route.metric, route.protocol) == (6285, "natlb-prv", 5, 78)
    assert route.destination == ip_network("::/0")


def test_a_way_tells_the_mtu_of_its_route_if_it_has_one() -> None:
    """Most have none: then the interface's counts."""
    message = Message(RTA_OIF=2, type=1, RTA_GATEWAY="10.0.0.9", RTA_METRICS=Message(RTAX_MTU=1300))
    way = messages.read_way(message, {2: "eth0"})
    bare = messages.read_way(Message(type=7), {})

    assert (way.interface, way.gateway, way.mtu) == ("eth0", ip_address("10.0.0.9"), 1300)
    assert (bare.interface, bare.kind, bare.mtu) == (None, "unreachable", None)


def test_a_rule_is_read_with_all_its_words() -> None:
    """What the kernel leaves out matches everything."""
    message = Message(
        action=2,
        FRA_PRIORITY=102,
        FRA_GOTO=105,
        FRA_IIFNAME="natlb-pub",
        FRA_SUPPRESS_PREFIXLEN=0xFFFFFFFF,
        FRA_PROTOCOL=78,
        flags=2,
    )

    assert messages.read_rule(message, 6) == Rule(
        version=6,
        priority=102,
        action="goto",
        goto=105,
        iif="natlb-pub",
        inverted=True,
        protocol=78,
    )
    assert messages.read_rule(Message(action=1, FRA_TABLE=255, flags=0), 4) == Rule(
        version=4, priority=0, table=255, protocol=0
    )
