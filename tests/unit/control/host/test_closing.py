from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.host.closing import closing
from natlb.control.host.rules import CLOSED, OPEN, PASSED, places
from tests.paper_host import apart, host_plan, opened, rules_of, sharing

if TYPE_CHECKING:
    from natlb.control.host.plan import HostPlan, Version


def closed(plan: HostPlan, version: Version = 4, at: int = 0) -> list[str]:
    """Return what closes one place of a plan, in words."""
    return rules_of(closing(plan, places(plan)[at], version))


def test_a_router_stays_open() -> None:
    """Where all was forwarded before, nothing is closed."""
    assert closed(opened(host_plan())) == []


def test_a_host_that_forwarded_nothing_stays_closed_to_all_but_services() -> None:
    """VIPs and what natlb itself sends are let by; strays and everybody else are not."""
    assert closed(host_plan(backends="10.77.0.11")) == [
        "102 to 203.0.113.10/32 lookup 254",
        f"{OPEN} nop",
        f"102 iif natlb-pub from 198.51.100.1/32 goto {OPEN}",
        f"102 iif natlb-pub from 203.0.113.10/32 goto {OPEN}",
        "103 iif natlb-pub prohibit",
        "103 iif natlb-prv from 10.77.0.11/32 prohibit",
        f"{CLOSED} iif eth0 prohibit",
        f"{CLOSED} iif eth1 prohibit",
    ]


def test_before_force_forwarding_every_interface_is_closed_but_natlbs() -> None:
    """IPv6 forwards on all interfaces then; natlb's devices are let past behind the strays."""
    plan = replace(host_plan("2001:db8:2::10", "fd77::11"), force_forwarding=False)

    assert closed(plan, 6) == [
        "102 to 2001:db8:2::10/128 lookup 254",
        f"{OPEN} nop",
        f"102 iif natlb-pub from 2001:db8:1::1/128 goto {OPEN}",
        f"102 iif natlb-pub from 2001:db8:2::10/128 goto {OPEN}",
        "103 iif natlb-pub prohibit",
        "103 iif natlb-prv from fd77::11/128 prohibit",
        f"{PASSED} iif natlb-pub goto {OPEN}",
        f"{PASSED} iif natlb-prv goto {OPEN}",
        f"{CLOSED} not iif lo prohibit",
    ]


def test_a_public_side_closed_alone_lets_pass_what_the_private_one_forwarded() -> None:
    """It is handed back by its public device."""
    plan = host_plan()
    plan = replace(plan, private=opened(plan).private)

    assert closed(plan) == ["102 to 203.0.113.10/32 lookup 254", f"{CLOSED} iif eth0 prohibit"]


def test_from_one_namespace_to_the_other_nothing_goes_but_natlbs() -> None:
    """Whatever was forwarded before; and in silence, for an error would go out to the public."""
    plan = opened(apart(host_plan()))

    assert closed(plan) == [
        f"{OPEN} nop",
        f"102 iif natlb-pub from 198.51.100.1/32 goto {OPEN}",
        f"102 iif natlb-pub from 203.0.113.10/32 goto {OPEN}",
        "103 iif natlb-pub blackhole",
    ]
    assert closed(plan, at=1) == []


def test_a_backend_in_the_private_namespace_itself_goes_out_as_before() -> None:
    """What it sends and is no service's came from within."""
    plan = apart(host_plan(backends="10.77.0.11"))
    local = replace(plan, local_backends=plan.backends)

    assert "103 iif natlb-prv from 10.77.0.11/32 prohibit" in closed(plan, at=1)
    assert "103 iif natlb-prv from 10.77.0.11/32 prohibit" not in closed(local, at=1)


def test_a_vip_of_the_hosts_own_needs_no_way_past_the_closed_interface() -> None:
    """Its rules come before those that close; and IPv6 without an address has no errors."""
    assert not [each for each in closed(sharing()) if "lookup" in each]
    bare = replace(host_plan("2001:db8:2::10", "fd77::11"))
    bare = replace(bare, public=replace(bare.public, address6=None))

    assert len([each for each in closed(bare, 6) if "goto" in each]) == 1
