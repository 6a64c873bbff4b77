from __future__ import annotations

import errno
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from natlb.errors import HostError
from natlb.netlink import KernelError, Netlink, Proxy, Route, Rule
from tests.gateway import ip, namespaces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def ends() -> Iterator[tuple[Netlink, Netlink]]:
    """Return sessions in two namespaces, joined by the veth pair e0, e1."""
    with (
        namespaces_of("a", "b") as [one, other],
        Netlink(one) as a,
        Netlink(other) as b,
    ):
        a.add_veth("e0", "e1", peer_netns=other)
        for session, name, number in ((a, "e0", 1), (b, "e1", 2)):
            session.add_address(name, f"10.9.0.{number}/24")
            session.add_address(name, f"fd09::{number}/64")
            session.set_up(name)
        yield a, b


@pytest.fixture
def a(ends: tuple[Netlink, Netlink]) -> Netlink:
    """Return the session in the first namespace."""
    return ends[0]


def where(session: Netlink) -> str:
    """Return the session's namespace."""
    assert session.netns is not None
    return session.netns


def test_a_link_is_shown_as_ip_shows_it(ends: tuple[Netlink, Netlink]) -> None:
    """Name, index, kind, MTU, queue, hardware address, addresses."""
    a, b = ends
    a.set_mtu("e0", 1400)
    a.set_txqueuelen("e0", 77)
    a.set_mac("e0", "02:00:00:00:00:01")
    link = a.link("e0")
    [shown] = ip(where(a), "address", "show", "dev", "e0")

    assert (link.index, link.mtu, link.txqueuelen) == (shown["ifindex"], 1400, 77)
    assert (link.mac, link.kind, link.up, link.carrier) == (shown["address"], "veth", True, True)
    assert ip_interface("10.9.0.1/24") in link.addresses
    assert ip_interface("fd09::1/64") in link.addresses
    b.set_down("e1")

    assert a.link("e0").up
    assert not a.link("e0").carrier
    assert a.has_link("e0")
    assert not a.has_link("e1")


def test_addresses_are_usable_at_once_and_go_again(a: Netlink) -> None:
    """Duplicate detection would take a second; scope `host` keeps one from being a source."""
    a.add_address("e0", "fd99::1/64")
    a.add_address("e0", "192.0.0.8/32", scope="host")
    [shown] = ip(where(a), "address", "show", "dev", "e0")
    found = {each["local"]: each for each in shown["addr_info"]}

    assert "tentative" not in found["fd99::1"]
    assert found["192.0.0.8"]["scope"] == "host"
    a.delete_address("e0", "fd99::1/64")
    a.delete_address("e0", "192.0.0.8/32")

    assert ip_interface("fd99::1/64") not in a.link("e0").addresses
    assert ip_interface("192.0.0.8/32") not in a.link("e0").addresses


def test_links_are_plugged_moved_and_deleted(ends: tuple[Netlink, Netlink]) -> None:
    """A bridge, a port of it, and the far end that goes with the near one."""
    a, b = ends
    a.add_bridge("br0")
    a.set_master("e0", "br0")

    assert a.link("br0").kind == "bridge"
    assert a.link("e0").master == "br0"
    a.add_veth("x0", "x1")
    a.move("x1", where(b))

    assert b.has_link("x1")
    a.delete_link("x0")

    assert not b.has_link("x1")


ROUTES = [
    Route(destination=ip_network("10.1.0.0/16"), via=ip_address("10.9.0.2"), dev="e0"),
    Route(destination=ip_network("0.0.0.0/0"), via=ip_address("10.9.0.2"), dev="e0", metric=50),
    Route(destination=ip_network("0.0.0.0/0"), dev="e0", table=6285, protocol=78),
    Route(destination=ip_network("10.2.0.0/16"), kind="blackhole", table=1000),
    Route(
        destination=ip_network("10.3.0.1/32"),
        dev="e0",
        source=ip_address("10.9.0.1"),
        table=1000,
    ),
    Route(destination=ip_network("fd01::/16"), via=ip_address("fd09::2"), dev="e0", metric=1024),
    Route(destination=ip_network("::/0"), dev="e0", table=6285, metric=1024, protocol=78),
    Route(destination=ip_network("fd02::5/128"), dev="e0", metric=9, table=1000),
]


def _not_the_kernels(routes: list[Route]) -> list[Route]:
    """Return those that somebody made: IPv6 adds its own a moment after an address."""
    return [route for route in routes if route.protocol != 2]


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_route_is_added_read_back_and_deleted(a: Netlink, route: Route) -> None:
    """What is read is what was written, in every form that natlb uses."""
    version: Any = route.destination.version
    before = _not_the_kernels(a.routes(version))
    a.add_route(route)

    assert route in a.routes(version, table=route.table)
    with pytest.raises(KernelError) as taken:
        a.add_route(route)
    assert taken.value.errno == errno.EEXIST
    a.replace_route(route)
    a.delete_route(route)

    assert _not_the_kernels(a.routes(version)) == before
    with pytest.raises(KernelError) as gone:
        a.delete_route(route)
    assert gone.value.errno == errno.ESRCH


@pytest.mark.parametrize("kind", ["prohibit", "unreachable", "blackhole"])
def test_routes_that_refuse_are_refusals_to_who_asks(a: Netlink, kind: Any) -> None:
    """Each has an errno of its own; that of `prohibit` is not a missing right."""
    for network in ("10.4.0.0/16", "fd04::/16"):
        a.add_route(Route(destination=ip_network(network), kind=kind))
        with pytest.raises(KernelError, match="cannot find a route"):
            a.route_to(ip_network(network)[5])


def test_the_kernel_tells_how_it_would_send(a: Netlink) -> None:
    """Its own packets, and one that came in by an interface."""
    a.add_route(ROUTES[0])
    way = a.route_to("10.1.2.3")

    assert (way.interface, way.kind) == ("e0", "unicast")
    assert (way.gateway, way.source) == (ip_address("10.9.0.2"), ip_address("10.9.0.1"))
    assert a.route_to("10.9.0.1").kind == "local"
    assert a.route_to("fd09::2").interface == "e0"
    local = a.route_to("10.9.0.1", source=ip_address("10.9.0.2"), iif="e0")

    assert local.kind == "local"
    with pytest.raises(KernelError) as none:
        a.route_to("192.0.2.1")
    assert none.value.errno == errno.ENETUNREACH


RULES = [
    Rule(version=4, priority=100, iif="e0", source=ip_network("10.77.0.0/26"), table=6285),
    Rule(version=6, priority=100, iif="e0", source=ip_network("fd77::/64"), table=6285),
    Rule(version=4, priority=101, iif="lo", ip_protocol=1, table=6285, protocol=78),
    Rule(version=4, priority=102, destination=ip_network("203.0.113.10/32"), table=254),
    Rule(version=6, priority=104, iif="lo", inverted=True, action="prohibit"),
    Rule(version=6, priority=105, action="nop"),
    Rule(version=6, priority=103, iif="natlb-pub", action="goto", goto=105),
    Rule(version=4, priority=106, oif="e0", table=254, suppress_prefix_length=0),
    Rule(version=4, priority=107, action="blackhole", source=ip_network("10.0.0.0/8")),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_is_added_read_back_and_deleted(a: Netlink, rule: Rule) -> None:
    """What is read is what was written, in every form that natlb uses."""
    before = a.rules(rule.version)
    a.add_rule(rule)

    assert rule in a.rules(rule.version)
    a.delete_rule(rule)

    assert a.rules(rule.version) == before
    with pytest.raises(KernelError) as gone:
        a.delete_rule(rule)
    assert gone.value.errno == errno.ENOENT


def test_rules_are_listed_in_the_order_they_are_asked(a: Netlink) -> None:
    """Those of the kernel itself are among them."""
    for rule in reversed(RULES):
        a.add_rule(rule)
    priorities = [rule.priority for rule in a.rules(4)]

    assert priorities == sorted(priorities)
    assert {0, 32766, 32767} < set(priorities)


@pytest.mark.parametrize("address", ["10.9.0.77", "fd09::77"])
def test_a_proxy_is_added_read_back_and_deleted(a: Netlink, address: str) -> None:
    """`ip neighbour show proxy` tells the same."""
    proxy = Proxy(address=ip_address(address), dev="e0")
    version: Any = proxy.address.version
    a.add_proxy(proxy)
    shown = ip(where(a), f"-{version}", "neighbour", "show", "proxy")

    assert a.proxies(version) == [proxy]
    assert [each["dst"] for each in shown] == [address]
    a.delete_proxy(proxy)

    assert a.proxies(version) == []
    with pytest.raises(KernelError) as gone:
        a.delete_proxy(proxy)
    assert gone.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda a: a.add_address("e0", "10.9.0.1/24"), "add address 10.9.0.1/24 of e0"),
        (lambda a: a.set_mtu("e0", 9), "set the MTU of e0 to 9"),
        (lambda a: a.add_veth("e0", "e9"), "make veth pair e0, e9"),
        (lambda a: a.add_veth("e8", "e9", peer_netns="no-such"), "make veth pair e8, e9"),
        (lambda a: a.set_up("e9"), "no interface e9"),
        (lambda a: a.add_route(Route(destination=ip_network("10.0.0.0/8"), dev="e9")), "e9"),
    ],
)
def test_a_refusal_says_what_and_where(
    a: Netlink, ask: Callable[[Netlink], None], words: str
) -> None:
    """So that the message can be printed as it is."""
    with pytest.raises(HostError) as refused:
        ask(a)

    assert words in refused.value.message
    assert where(a) in refused.value.message or "no-such" in refused.value.message


def test_a_link_that_is_not_there_is_answered_with_the_nearest(a: Netlink) -> None:
    """A typing error shows itself."""
    with pytest.raises(HostError, match="no interface 'e00'") as near:
        a.link("e00")
    with pytest.raises(HostError) as far:
        a.link("wlan")

    assert near.value.fix == "did you mean e0?"
    assert far.value.fix == "there are: lo, e0"
