from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from natlb.control.host.hands import Hands
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
from natlb.errors import HostError
from natlb.netlink import KernelError, Netlink, write_sysctl
from tests.gateway import ip, namespaces_of, snapshot, sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def name() -> Iterator[str]:
    """Return a namespace with the pair e0, e1 in it, e0 up with addresses."""
    with namespaces_of("a") as [name]:
        with Netlink(name) as netlink:
            netlink.add_veth("e0", "e1")
            write_sysctl("net/ipv6/conf/e0/addr_gen_mode", "1", netns=name)
            write_sysctl("net/ipv6/conf/e1/addr_gen_mode", "1", netns=name)
            for link in ("e0", "e1"):
                netlink.set_up(link)
            netlink.add_address("e0", "10.9.0.1/24")
        yield name


def every(netns: str) -> list[Operation]:
    """Return an operation of each form, on a namespace that has e0."""
    return [
        AddRoute(netns=netns, destination="203.0.113.10/32", dev="e0", table=254),
        AddRoute(netns=netns, destination="2001:db8::10/128", dev="e0", table=254),
        AddRoute(netns=netns, destination="0.0.0.0/0", dev="e0", table=6285),
        AddRoute(netns=netns, destination="::/0", dev="e0", table=6285),
        AddRule(netns=netns, version=4, priority=100, iif="e0", source="10.77.0.0/26", table=6285),
        AddRule(netns=netns, version=4, priority=101, iif="lo", ip_protocol=1, table=6285),
        AddRule(netns=netns, version=6, priority=104, iif="e0", action="prohibit"),
        AddRule(netns=netns, version=6, priority=104, iif="lo", inverted=True, action="prohibit"),
        AddRule(netns=netns, version=6, priority=105, action="nop"),
        AddRule(netns=netns, version=6, priority=102, iif="natlb-pub", action="goto", goto=105),
        AddProxy(netns=netns, address="10.9.0.77", dev="e0"),
        AddProxy(netns=netns, address="fd09::77", dev="e0"),
        SetSysctl(netns=netns, key="net/ipv4/conf/e0/forwarding", value="1"),
        SetSysctl(netns=netns, key="net/ipv4/neigh/e0/proxy_delay", value="0"),
        ForwardAll(netns=netns),
        AddRoute(
            netns=netns, destination="203.0.113.11/32", dev="e0", table=254, source="10.9.0.1"
        ),
        AddRule(
            netns=netns,
            version=6,
            priority=93,
            destination="fd09::1/128",
            ip_protocol=6,
            ports="80-89",
            table=6286,
        ),
        AddRule(netns=netns, version=4, priority=93, ip_protocol=17, ports="53", table=6286),
        MoveLocal(netns=netns, version=4, priority=94),
        MoveLocal(netns=netns, version=6, priority=94),
    ]


@pytest.mark.parametrize("number", range(20))
def test_an_operation_changes_the_host_and_its_undoing_leaves_no_trace(
    number: int, name: str
) -> None:
    """Undone twice, or after nothing was done, it changes nothing and is no error."""
    operation = every(name)[number]
    untouched = snapshot(name)
    with Hands() as hands:
        before = operation.before(hands)
        operation.undo(hands, before)

        assert snapshot(name) == untouched
        operation.do(hands)

        assert snapshot(name) != untouched
        operation.undo(hands, before)
        operation.undo(hands, before)

    assert snapshot(name) == untouched


def test_all_forms_are_tried() -> None:
    """The numbers above are those of the list."""
    assert len(every("")) == 20


def test_an_administrators_rule_and_route_alike_stay(name: str) -> None:
    """Natlb's carry its protocol number, and are deleted by it."""
    rule, route = every(name)[4], every(name)[0]
    theirs = ["rule", "add", "priority", "100", "iif", "e0", "from", "10.77.0.0/26"]
    ip(name, *theirs, "table", "6285")
    with Hands() as hands:
        rule.do(hands)
        doubled = [each for each in ip(name, "rule") if each["priority"] == 100]

        assert len(doubled) == 2
        rule.undo(hands, {})
        route.do(hands)
        ip(name, "route", "replace", "203.0.113.10/32", "dev", "e0", "protocol", "static")
        route.undo(hands, {})

    assert [each["priority"] for each in ip(name, "rule")] == [0, 100, 32766, 32767]
    assert ip(name, "route", "show", "203.0.113.10/32")
    assert PROTOCOL not in (2, 3, 4)  # Linux: rtnetlink.h, kernel, boot, static


def test_a_proxy_that_was_there_stays(name: str) -> None:
    """The kernel does not count how often it was asked for."""
    proxy = AddProxy(netns=name, address="10.9.0.77", dev="e0")
    ip(name, "neighbour", "add", "proxy", "10.9.0.77", "dev", "e0")
    with Hands() as hands:
        before = proxy.before(hands)
        proxy.do(hands)
        proxy.undo(hands, before)

    assert ip(name, "neighbour", "show", "proxy")


def test_a_value_that_somebody_set_since_is_not_put_back(name: str) -> None:
    """What an administrator wants now counts more than what was."""
    setting = SetSysctl(netns=name, key="net/ipv4/conf/e0/rp_filter", value="2")
    write_sysctl(setting.key, "0", netns=name)
    with Hands() as hands:
        before = setting.before(hands)
        setting.do(hands)
        write_sysctl(setting.key, "1", netns=name)
        setting.undo(hands, before)

    assert sysctl(name, setting.key) == "1"


def test_interfaces_that_were_routers_by_themselves_are_again(name: str) -> None:
    """Setting `all` back to 0 sets each of them to 0."""
    write_sysctl("net/ipv6/conf/e1/forwarding", "1", netns=name)
    operation = ForwardAll(netns=name)
    untouched = snapshot(name)
    with Hands() as hands:
        before = operation.before(hands)
        operation.do(hands)

        assert sysctl(name, "net/ipv6/conf/e0/forwarding") == "1"
        operation.undo(hands, before)

    assert snapshot(name) == untouched


def test_a_host_that_forwards_everything_is_left_alone(name: str) -> None:
    """Nothing was changed, so nothing is put back."""
    write_sysctl("net/ipv6/conf/all/forwarding", "1", netns=name)
    operation = ForwardAll(netns=name)
    with Hands() as hands:
        before = operation.before(hands)
        operation.do(hands)
        operation.undo(hands, before)

    assert sysctl(name, "net/ipv6/conf/all/forwarding") == "1"


def test_what_went_with_its_device_needs_no_undoing(name: str) -> None:
    """Routes, proxies and values of a device go with it."""
    with Hands() as hands:
        done = [each for each in every(name) if not isinstance(each, ForwardAll)]
        before = [(each, each.before(hands)) for each in done]
        for each in done:
            each.do(hands)
        hands.netlink(name).delete_link("e0")
        for each, was in reversed(before):
            each.undo(hands, was)

    assert [each["priority"] for each in ip(name, "rule")] == [0, 32766, 32767]


def test_a_refusal_is_raised_when_doing(name: str) -> None:
    """A route that is there, a value that is not."""
    with Hands() as hands:
        every(name)[0].do(hands)
        with pytest.raises(KernelError, match="File exists"):
            every(name)[0].do(hands)
        with pytest.raises(HostError, match="no_such"):
            SetSysctl(netns=name, key="net/ipv4/no_such", value="1").do(hands)


def test_a_value_that_is_optional_may_be_missing(name: str) -> None:
    """Some kernels show fewer of them in a user namespace."""
    missing = SetSysctl(netns=name, key="net/ipv4/no_such", value="1", optional=True)
    with Hands() as hands:
        before = missing.before(hands)
        missing.do(hands)
        missing.undo(hands, before)

    assert before == {"was": None}


def test_each_can_be_told_in_words() -> None:
    """What `cleanup` took back, and what a log speaks of."""
    assert [str(operation) for operation in every("")][9:] == [
        "rule 102 iif natlb-pub goto 105",
        "proxy 10.9.0.77 dev e0",
        "proxy fd09::77 dev e0",
        "net/ipv4/conf/e0/forwarding = 1",
        "net/ipv4/neigh/e0/proxy_delay = 0",
        "net/ipv6/conf/all/forwarding = 1",
        "route 203.0.113.11/32 dev e0 table 254",
        "rule 93 to fd09::1/128 ipproto 6 dport 80-89 lookup 6286",
        "rule 93 ipproto 17 dport 53 lookup 6286",
        "rule 94 lookup local",
        "rule 94 lookup local",
    ]


@pytest.mark.parametrize("after", ["nothing", "the new rule", "all"])
def test_killed_at_any_instant_of_moving_local_the_host_still_knows_itself(
    name: str, after: str
) -> None:
    """And undoing leads back from wherever it stood."""
    untouched = snapshot(name)
    move = MoveLocal(netns=name, version=4, priority=94)
    with Hands() as hands:
        before = move.before(hands)
        if after == "the new rule":
            moved = replace(kernels_local(4), priority=94, protocol=PROTOCOL)
            hands.netlink(name).add_rule(moved)
        elif after == "all":
            move.do(hands)

        assert hands.netlink(name).route_to("10.9.0.1").kind == "local"
        move.undo(hands, before)

        assert hands.netlink(name).route_to("10.9.0.1").kind == "local"
    assert snapshot(name) == untouched


def test_local_that_somebody_moved_before_is_not_put_back_where_it_was_not(name: str) -> None:
    """The move is natlb's, its old place was another's doing."""
    move = MoveLocal(netns=name, version=4, priority=94)
    with Hands() as hands, Netlink(name) as netlink:
        netlink.add_rule(replace(kernels_local(4), priority=200))
        netlink.delete_rule(kernels_local(4))
        before = move.before(hands)
        move.do(hands)
        move.undo(hands, before)

        assert [rule.priority for rule in netlink.rules(4)] == [200, 32766, 32767]
