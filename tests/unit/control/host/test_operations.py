from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.host.make_tun import AddIpv6, MakeTun
from natlb.control.host.operation import (
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    Operation,
    SetSysctl,
)
from natlb.control.host.operations import (
    CLOSED,
    OPEN,
    Step,
    complete,
    merged,
    operations,
    repair,
)
from natlb.netlink.values import Proxy
from tests.paper_host import apart, host_plan

if TYPE_CHECKING:
    from natlb.control.host.plan import HostPlan

BOTH = host_plan("203.0.113.10 2001:db8:2::10", "10.77.0.11 10.77.0.12 fd77::11")


def opened(plan: HostPlan) -> HostPlan:
    """Return the plan of a host that forwarded everything before."""

    def side(of: object) -> object:
        devices = tuple(replace(d, open4=True, open6=True) for d in of.devices)  # type: ignore[attr-defined]
        return replace(of, devices=devices)  # type: ignore[type-var]

    return replace(plan, public=side(plan.public), private=side(plan.private))  # type: ignore[arg-type]


def rules(plan: HostPlan) -> list[AddRule]:
    """Return the rules of a plan."""
    return [each for each in complete(plan) if isinstance(each, AddRule)]


def words(rule: AddRule) -> str:
    """Return a rule as `ip rule` might print it."""
    parts = [str(rule.priority), "not" if rule.inverted else ""]
    for word, value in (("iif", rule.iif), ("from", rule.source), ("to", rule.destination)):
        parts.append(f"{word} {value}" if value else "")
    parts.append(f"proto {rule.ip_protocol}" if rule.ip_protocol else "")
    parts.append(f"{rule.action} {rule.table or rule.goto or ''}")
    return " ".join(part for part in parts if part).strip()


def test_a_router_gets_one_route_and_two_rules() -> None:
    """Where all was forwarded before, nothing needs closing: the fewest changes that do."""
    plan = opened(host_plan())
    routes = [each for each in complete(plan) if isinstance(each, AddRoute)]

    assert [words(rule) for rule in rules(plan)] == [
        "101 iif lo from 192.0.0.11/32 proto 1 lookup 6285",
        "100 iif eth1 from 10.77.0.11/32 lookup 6285",
        "100 iif eth1 from 10.77.0.12/32 lookup 6285",
    ]
    assert [(each.destination, each.dev, each.table) for each in routes] == [
        ("203.0.113.10/32", "natlb-pub", 254),
        ("0.0.0.0/0", "natlb-prv", 6285),
    ]


def test_a_host_that_forwarded_nothing_stays_closed_to_all_but_services() -> None:
    """The rules that close: VIPs are let by, backends' strays and everybody else's are not."""
    found = [words(rule) for rule in rules(host_plan(backends="10.77.0.11")) if rule.priority > 101]

    assert found == [
        "102 to 203.0.113.10/32 lookup 254",
        "103 iif natlb-pub from 10.77.0.11/32 prohibit",
        "103 iif natlb-prv from 10.77.0.11/32 prohibit",
        "104 iif eth0 prohibit",
        "104 iif eth1 prohibit",
    ]


def test_what_closes_comes_before_what_opens() -> None:
    """At no instant is a host open that was closed; undone in reverse, neither."""
    for force in (True, False):
        found = complete(replace(BOTH, force_forwarding=force))
        for family, version in (("ipv4", 4), ("ipv6", 6)):
            closing = [
                at
                for at, each in enumerate(found)
                if isinstance(each, AddRule) and each.priority >= 102 and each.version == version
            ]
            opening = [
                at
                for at, each in enumerate(found)
                if (isinstance(each, SetSysctl) and f"{family}/conf" in each.key)
                or (isinstance(each, ForwardAll) and version == 6)
            ]

            assert max(closing) < min(opening)


def test_a_tun_comes_before_what_needs_it() -> None:
    """A route by a device needs the device; a rule by its name does not."""
    found = complete(BOTH)
    made = [at for at, each in enumerate(found) if isinstance(each, MakeTun)]
    routes = [at for at, each in enumerate(found) if isinstance(each, AddRoute)]

    assert len(made) == 2
    assert max(made) < min(routes)


def test_before_force_forwarding_every_interface_is_closed_but_natlbs() -> None:
    """IPv6 forwards on all interfaces then, on those that come later too."""
    plan = replace(host_plan("2001:db8:2::10", "fd77::11"), force_forwarding=False)
    found = complete(plan)
    closing = [words(rule) for rule in rules(plan) if rule.priority >= 102]

    assert closing == [
        "102 to 2001:db8:2::10/128 lookup 254",
        "103 iif natlb-pub from fd77::11/128 prohibit",
        "103 iif natlb-prv from fd77::11/128 prohibit",
        f"{OPEN} nop",
        f"102 iif natlb-pub goto {OPEN}",
        f"102 iif natlb-prv goto {OPEN}",
        f"{CLOSED} not iif lo prohibit",
    ]
    kept = [each.key for each in found if isinstance(each, SetSysctl) and each.value == "2"]

    assert kept == [f"net/ipv6/conf/{name}/accept_ra" for name in ("default", "eth0")]
    assert ForwardAll(netns="") in found


def test_ipv4_alone_touches_nothing_of_ipv6() -> None:
    """A host without IPv6 must do for a service without it."""
    for each in complete(replace(host_plan(), has_ipv6=False)):
        assert "ipv6" not in str(getattr(each, "key", ""))
        assert getattr(each, "version", 4) == 4
        assert not isinstance(each, AddIpv6)


def test_two_namespaces_get_a_route_each_and_nothing_crosses_without_a_service() -> None:
    """The public one learns the VIP; the private one sends what backends send to natlb."""
    plan = opened(apart(host_plan(backends="10.77.0.11")))
    found = [(rule.netns, words(rule)) for rule in rules(plan)]
    routes = [(e.netns, e.destination) for e in complete(plan) if isinstance(e, AddRoute)]

    assert found == [
        ("left", "103 iif natlb-pub from 10.77.0.11/32 blackhole"),
        ("right", "101 iif lo from 192.0.0.11/32 proto 1 lookup 6285"),
        ("right", "100 iif eth1 from 10.77.0.11/32 lookup 6285"),
        ("right", "32768 iif lo from 10.77.0.11/32 lookup 6285"),
    ]
    assert routes == [("left", "203.0.113.10/32"), ("right", "0.0.0.0/0")]


def test_a_backend_in_the_private_namespace_itself_answers_through_natlb() -> None:
    """Its packets come from within; what is no service's still goes out as before."""
    plan = replace(apart(host_plan(backends="10.77.0.11")), local_backends=host_plan().backends[:1])
    private = [words(rule) for rule in rules(plan) if rule.netns == "right"]

    assert "100 iif lo from 10.77.0.11/32 lookup 6285" in private
    assert "103 iif natlb-prv from 10.77.0.11/32 prohibit" not in private


def test_a_vip_of_the_public_subnet_is_answered_for_at_once() -> None:
    """A proxy entry waits up to 0.8 s unless told not to; IPv6 answers on a router alone."""
    plan = replace(
        BOTH,
        proxies=tuple(Proxy(address=vip, dev="eth0") for vip in BOTH.vips),
    )
    found = complete(plan)
    start = found.index(
        SetSysctl(netns="", key="net/ipv4/neigh/eth0/proxy_delay", value="0", optional=True)
    )
    keys = [getattr(each, "key", type(each).__name__) for each in found[start:]]

    assert keys == [
        "net/ipv4/neigh/eth0/proxy_delay",
        "AddProxy",
        "net/ipv6/neigh/eth0/proxy_delay",
        "net/ipv6/conf/eth0/accept_ra",
        "net/ipv6/conf/eth0/forwarding",
        "net/ipv6/conf/eth0/proxy_ndp",
        "AddProxy",
    ]
    assert isinstance(found[-1], AddProxy)


@pytest.mark.parametrize("version", [4, 6])
@given(st.data())
def test_merged_prefixes_cover_the_backends_and_nobody_else(
    version: int, data: st.DataObject
) -> None:
    """One address too many is a stranger's traffic in the TUN; one too few a lost answer."""
    base = int(ip_address("10.77.0.0" if version == 4 else "fd77::"))
    chosen = data.draw(st.sets(st.integers(0, 63), max_size=40))
    kind = type(ip_address("10.0.0.1" if version == 4 else "fd77::1"))
    prefixes = merged([kind(base + each) for each in chosen], version)  # type: ignore[arg-type]
    network = IPv4Network if version == 4 else IPv6Network
    covered = [int(address) - base for prefix in prefixes for address in network(prefix)]

    assert sorted(covered) == sorted(chosen)


def test_neighbouring_backends_share_a_rule() -> None:
    """A rule costs each packet of the host about 20 ns."""
    backends = [ip_address(f"10.77.0.{number}") for number in range(64)]

    assert merged(backends, 4) == ["10.77.0.0/26"]
    assert merged([*backends, ip_address("fd77::1")], 6) == ["fd77::1/128"]


def plans() -> st.SearchStrategy[HostPlan]:
    """Return plans that differ in what a reload may change."""
    vips = st.sets(st.sampled_from(["203.0.113.10", "203.0.113.11", "2001:db8:2::10"]), min_size=1)
    backends = st.sets(st.sampled_from([f"10.77.0.{n}" for n in range(8)] + ["fd77::1"]))
    return st.builds(
        lambda v, b, o: (opened if o else replace)(host_plan(" ".join(v), " ".join(b))),
        vips.map(sorted),
        backends.map(sorted),
        st.booleans(),
    )


@given(plans(), plans())
def test_the_steps_from_one_plan_to_another_arrive_there(old: HostPlan, new: HostPlan) -> None:
    """plan(a, b) applied to a is b; and nothing is done twice or undone without having been."""
    new = new.remembering(old)
    standing: list[Operation] = []
    for step in [*operations(None, old), *operations(old, new)]:
        if step.verb == "do":
            assert step.operation not in standing
            standing.append(step.operation)
        else:
            standing.remove(step.operation)

    assert set(standing) == set(complete(new))


def test_what_both_plans_want_is_not_touched() -> None:
    """And the new stands before the old goes, so that no packet falls between."""
    old = host_plan(backends="10.77.0.10")
    new = host_plan(backends="10.77.0.10 10.77.0.11")
    steps = operations(old, new)

    assert [step.verb for step in steps] == ["do"] * 3 + ["undo"] * 3
    assert operations(new, new) == []


def test_a_deleted_device_comes_back_with_what_the_kernel_dropped() -> None:
    """Routes go with the device; rules wait for the name."""
    steps = repair(BOTH, "natlb-prv")
    kinds = [type(step.operation) for step in steps]

    assert kinds == [MakeTun, AddIpv6, AddRoute, AddRoute]
    assert all(step == Step("do", step.operation) for step in steps)
    assert {step.operation.device for step in steps} == {"natlb-prv"}
