from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from natlb.control.host.blackhole import AddBlackhole
from natlb.control.host.silence import silence
from tests.paper_host import apart, host_plan, rules_of

PLAN = host_plan("203.0.113.10 2001:db8:2::10", "10.77.0.10 10.77.0.11 fd77::11")


def routes(version: int, **changes: object) -> list[tuple[str, str]]:
    """Return namespace and destination of the blackholes of a plan that is changed so."""
    plan = replace(PLAN, **changes)  # type: ignore[arg-type]
    found = silence(plan, 4 if version == 4 else 6)
    return [(each.netns, each.destination) for each in found if isinstance(each, AddBlackhole)]


def test_vips_are_dropped_and_what_backends_and_routers_send() -> None:
    """Of one IP version at a time, backends merged into prefixes."""
    assert routes(4) == [("", "203.0.113.10/32")]
    assert routes(6) == [("", "2001:db8:2::10/128")]
    assert rules_of(silence(PLAN, 4)) == [
        "100 iif eth1 from 10.77.0.10/31 blackhole",
        "102 iif eth1 proto 1 blackhole",
    ]
    assert rules_of(silence(PLAN, 6)) == [
        "100 iif eth1 from fd77::11/128 blackhole",
        "102 iif eth1 proto 58 blackhole",
    ]


def test_addresses_of_full_nat_are_dropped_on_the_private_side() -> None:
    """Nobody else sends to them."""
    sources = (ip_address("10.77.0.200"), ip_address("fd77::200"))

    assert routes(4, sources=sources) == [("", "203.0.113.10/32"), ("", "10.77.0.200/32")]


def test_each_namespace_drops_vips() -> None:
    """Who turns round in the private one must not be answered by that."""
    plan = replace(apart(PLAN), sources=(ip_address("10.77.0.200"),))
    found = [each for each in silence(plan, 4) if isinstance(each, AddBlackhole)]

    assert [(each.netns, each.destination) for each in found] == [
        ("left", "203.0.113.10/32"),
        ("right", "203.0.113.10/32"),
        ("right", "10.77.0.200/32"),
    ]
    assert rules_of(silence(plan, 4), "left") == []
