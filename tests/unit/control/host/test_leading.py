from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from natlb.control.host.leading import to_private_tun, to_public_tun
from natlb.control.host.operation import AddRoute, MoveLocal
from tests.paper_host import apart, host_plan, opened, rules_of, sharing


def test_the_usual_gateway_gets_a_route_and_a_handful_of_rules() -> None:
    """VIPs by route; backends, hairpin and errors by the private interface."""
    plan = host_plan()
    [route] = to_public_tun(plan, 4)
    [table, sysctl, *rules] = to_private_tun(plan, 4)

    assert route == AddRoute(
        netns="", destination="203.0.113.10/32", dev="natlb-pub", table=254, source="192.0.0.8"
    )
    assert table == AddRoute(netns="", destination="0.0.0.0/0", dev="natlb-prv", table=6285)
    assert str(sysctl) == "net/ipv4/icmp_errors_use_inbound_ifaddr = 1"
    assert rules_of(rules) == [
        "100 iif eth1 from 10.77.0.11/32 lookup 6285",
        "100 iif eth1 from 10.77.0.12/32 lookup 6285",
        "100 iif eth1 to 203.0.113.10/32 lookup 6285",
        "101 iif lo from 192.0.0.11/32 proto 1 lookup 6285",
        "102 iif eth1 proto 1 lookup 6285",
    ]


def test_sources_are_natlbs_on_the_private_side_alone() -> None:
    """Backends' answers, routers' errors, and the kernel's own; not what the public sends."""
    plan = replace(host_plan(), sources=(ip_address("10.77.0.200"), ip_address("10.77.0.201")))
    found = [each for each in rules_of(to_private_tun(plan, 4)) if "10.77.0.200" in each]

    assert found == [
        "100 iif eth1 to 10.77.0.200/31 lookup 6285",
        "100 iif lo to 10.77.0.200/31 lookup 6285",
    ]


def test_an_interface_on_both_sides_knows_a_hairpin_by_the_backends_address() -> None:
    """All else that is sent to a VIP is public there, its ICMP included."""
    plan = host_plan(backends="10.77.0.11")
    one_arm = replace(plan, public=plan.private)

    assert rules_of(to_private_tun(one_arm, 4)) == [
        "100 iif eth1 from 10.77.0.11/32 lookup 6285",
        "101 iif eth1 to 203.0.113.10/32 lookup 254",
        "101 iif lo from 192.0.0.11/32 proto 1 lookup 6285",
        "102 iif eth1 proto 1 lookup 6285",
    ]


def test_two_namespaces_know_vips_on_both_sides() -> None:
    """The private one by rules: its processes and its network call them too."""
    plan = opened(apart(host_plan(backends="10.77.0.11")))
    [route] = to_public_tun(plan, 4)

    assert (route.netns, getattr(route, "source", "")) == ("left", None)
    assert rules_of(to_private_tun(plan, 4), "right") == [
        "100 iif eth1 from 10.77.0.11/32 lookup 6285",
        "32768 iif lo from 10.77.0.11/32 lookup 6285",
        "100 iif eth1 to 203.0.113.10/32 lookup 6285",
        "100 iif lo to 203.0.113.10/32 lookup 6285",
        "101 iif lo from 192.0.0.11/32 proto 1 lookup 6285",
        "32768 iif eth1 proto 1 lookup 6285",
    ]


def test_routers_errors_come_first_where_the_private_namespace_forwarded_nothing() -> None:
    """Then no packet goes astray; where it forwarded, what it knows a way for keeps it."""
    rules = rules_of(to_private_tun(apart(host_plan()), 4))

    assert rules[-1] == "102 iif eth1 proto 1 lookup 6285"


def test_a_backend_in_the_private_namespace_itself_answers_through_natlb() -> None:
    """Its packets come from within."""
    plan = apart(host_plan(backends="10.77.0.11"))
    plan = replace(plan, local_backends=plan.backends)

    assert "100 iif lo from 10.77.0.11/32 lookup 6285" in rules_of(to_private_tun(plan, 4))


def test_of_an_address_of_the_host_the_services_ports_are_natlbs() -> None:
    """And ICMP, of which it gives back what is not about its flows; `local` is moved at last."""
    *steps, moved = to_public_tun(sharing(), 4)

    assert steps[0] == AddRoute(
        netns="", destination="0.0.0.0/0", dev="natlb-pub", table=6286, source="192.0.0.8"
    )
    assert rules_of(steps) == [
        "90 iif natlb-pub lookup 255",
        "90 iif natlb-prv lookup 255",
        "92 iif eth1 to 198.51.100.1/32 proto 1 lookup 6285",
        "93 to 198.51.100.1/32 proto 1 lookup 6286",
        "92 iif eth1 to 198.51.100.1/32 proto 6 dport 80-81 lookup 6285",
        "93 to 198.51.100.1/32 proto 6 dport 80-81 lookup 6286",
    ]
    assert moved == MoveLocal(netns="", version=4, priority=94)


def test_neighbour_discovery_stays_on_its_interface() -> None:
    """It is unicast to the very VIP, and a hop count of 254 would kill it."""
    rules = rules_of(to_public_tun(sharing(), 6))

    assert rules[2:5] == [
        "91 iif eth0 from 2001:db8:1::/64 to 2001:db8:1::1/128 proto 58 lookup 255",
        "92 iif eth1 to 2001:db8:1::1/128 proto 58 lookup 6285",
        "93 to 2001:db8:1::1/128 proto 58 lookup 6286",
    ]


def test_an_address_of_a_public_namespace_is_shared_there_and_foreign_in_the_private_one() -> None:
    """There it is a VIP like any other."""
    plan = apart(sharing())
    public = rules_of(to_public_tun(plan, 4))
    private = rules_of(to_private_tun(plan, 4))

    assert public == [
        "90 iif natlb-pub lookup 255",
        "93 to 198.51.100.1/32 proto 1 lookup 6286",
        "93 to 198.51.100.1/32 proto 6 dport 80-81 lookup 6286",
    ]
    assert "100 iif eth1 to 198.51.100.1/32 lookup 6285" in private


def test_one_arm_knows_a_backend_that_calls_a_shared_address() -> None:
    """By its address, as it does everywhere."""
    plan = sharing()
    rules = rules_of(to_public_tun(replace(plan, public=plan.private), 4))

    assert [each for each in rules if each.startswith("92")] == [
        "92 iif eth1 from 10.77.0.11/32 to 198.51.100.1/32 proto 1 lookup 6285",
        "92 iif eth1 from 10.77.0.11/32 to 198.51.100.1/32 proto 6 dport 80-81 lookup 6285",
    ]


def test_where_a_vip_is_the_namespaces_own_its_processes_call_from_natlbs_address() -> None:
    """From the VIP itself they would seem to forge it."""
    [route, *_] = to_public_tun(apart(sharing()), 6)

    assert getattr(route, "source", None) == "fd6e:6174:6c62::7"
