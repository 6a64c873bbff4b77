from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from natlb.control.host.blackhole import AddBlackhole
from natlb.control.host.make_tun import AddIpv6, MakeTun
from natlb.control.host.operation import (
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    MoveLocal,
    Operation,
    SetSysctl,
)
from natlb.control.host.operations import (
    Step,
    complete,
    operations,
    repair,
)
from natlb.netlink.values import MAIN_TABLE, Proxy
from tests.paper_host import apart, host_plan, opened, sharing

if TYPE_CHECKING:
    from natlb.control.host.plan import HostPlan

BOTH = host_plan("203.0.113.10 2001:db8:2::10", "10.77.0.11 10.77.0.12 fd77::11")


def test_what_closes_comes_before_what_opens() -> None:
    """At no instant is a host open that was closed; undone in reverse, neither."""
    for force in (True, False):
        found = complete(replace(BOTH, force_forwarding=force))
        for family, version in (("ipv4", 4), ("ipv6", 6)):
            closing = [
                at
                for at, each in enumerate(found)
                if isinstance(each, AddRule)
                and (each.action != "lookup" or each.table == MAIN_TABLE)
                and each.version == version
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


def test_ipv4_alone_touches_nothing_of_ipv6() -> None:
    """A host without IPv6 must do for a service without it."""
    for each in complete(replace(host_plan(), has_ipv6=False)):
        assert "ipv6" not in str(getattr(each, "key", ""))
        assert getattr(each, "version", 4) == 4
        assert not isinstance(each, AddIpv6)


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

    assert [step.verb for step in steps] == ["do"] * 2 + ["undo"] * 2
    assert operations(new, new) == []


def test_a_deleted_device_comes_back_with_what_the_kernel_dropped() -> None:
    """Routes go with the device; rules wait for the name."""
    steps = repair(BOTH, "natlb-prv")
    kinds = [type(step.operation) for step in steps]

    assert kinds == [MakeTun, AddIpv6, AddRoute, AddRoute]
    assert all(step == Step("do", step.operation) for step in steps)
    assert {step.operation.device for step in steps} == {"natlb-prv"}


def test_local_is_moved_when_all_before_it_stands_and_back_before_that_goes() -> None:
    """At no instant does a service's port belong to nobody."""
    shared, plain = sharing(), host_plan(backends="10.77.0.11 fd77::11")
    forth = [step.operation for step in operations(plain, shared)]
    back = [step.operation for step in operations(shared, plain) if step.verb == "undo"]

    for version in (4, 6):
        local = MoveLocal(netns="", version=version, priority=94)
        before = [
            each
            for each in forth
            if isinstance(each, AddRule) and each.priority < 94 and each.version == version
        ]

        assert before
        assert max(forth.index(each) for each in before) < forth.index(local)
        assert min(back.index(each) for each in before) > back.index(local)


def test_an_address_in_a_private_subnet_is_answered_for_there() -> None:
    """A source of full NAT, which backends ask for."""
    source = ip_address("10.77.0.200")
    plan = replace(host_plan(), private_proxies=(Proxy(address=source, dev="eth1"),))

    assert AddProxy(netns="", address="10.77.0.200", dev="eth1") in complete(plan)
    assert AddProxy(netns="right", address="10.77.0.200", dev="eth1") in complete(apart(plan))


def test_the_public_device_has_an_ipv6_address_for_processes_of_the_host() -> None:
    """Not with a namespace for each side: there the backends may not know the way back to it."""
    own = {each.address for each in complete(BOTH) if isinstance(each, AddIpv6)}
    alone = {each.address for each in complete(apart(BOTH)) if isinstance(each, AddIpv6)}

    assert own == {"fd6e:6174:6c62::7/128", "fd6e:6174:6c62::8/128"}
    assert alone == {None, "fd6e:6174:6c62::8/128"}


def test_a_driver_that_takes_packets_by_itself_changes_routes_and_rules_alone() -> None:
    """No device, no sysctl, no proxy: and all of it comes after nothing and needs no repair."""
    plan = replace(
        BOTH, driver="packet", proxies=(Proxy(address=ip_address("198.51.100.10"), dev="eth0"),)
    )
    found = complete(plan)

    assert {type(each) for each in found} == {AddBlackhole, AddRule}
    assert repair(plan, "natlb-pub") == []
    assert [
        str(each.operation) for each in operations(plan, replace(plan, vips=plan.vips[:1]))
    ] == ["route blackhole 2001:db8:2::10/128"]
