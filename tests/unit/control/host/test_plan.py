from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from natlb.control.config.values import (
    BackendConfig,
    Config,
    DatapathConfig,
    Listen,
    NetnsSide,
    ServiceConfig,
)
from natlb.control.host.plan import Device, SideWanted, Wanted, in_order, port_ranges
from natlb.errors import HostError
from tests.paper_host import apart, host_plan


def service(name: str, vip: str, *backends: str) -> ServiceConfig:
    """Return a service; each backend has a port of its own."""
    return ServiceConfig(
        name=name,
        listen=(Listen("tcp", ip_address(vip), 80), Listen("udp", ip_address(vip), 53)),
        backends=tuple(
            BackendConfig(name=each, address=ip_address(each), port=8000 + at, written=each)
            for at, each in enumerate(backends)
        ),
    )


def test_a_wish_names_each_address_once() -> None:
    """Several services share VIPs and backends; the host has one route and one rule for each."""
    config = Config(
        services={
            "web": service("web", "203.0.113.10", "10.77.0.12", "10.77.0.11"),
            "dns": service("dns", "203.0.113.10", "10.77.0.11"),
            "six": service("six", "2001:db8::1", "fd77::11"),
        }
    )
    wish = Wanted.of(config)

    assert [str(vip) for vip in wish.vips] == ["203.0.113.10", "2001:db8::1"]
    assert [str(each) for each in wish.backends] == ["10.77.0.11", "10.77.0.12", "fd77::11"]
    assert (wish.public, wish.private) == (SideWanted(), SideWanted())


def test_a_wish_carries_sides_by_interfaces_and_by_namespace() -> None:
    """A side is a list of interfaces of natlb's own namespace, or the whole of another one."""
    datapath = DatapathConfig(public=("eth0", "eth2"), private=NetnsSide("inner"))
    wish = Wanted.of(Config(services={}, datapath=datapath))

    assert wish.public == SideWanted(interfaces=("eth0", "eth2"))
    assert wish.private == SideWanted(netns="inner")


def test_order_is_the_same_whatever_the_set_says() -> None:
    """Equal wishes must make equal plans, or a reload would change rules for nothing."""
    texts = ["fd77::2", "10.0.0.9", "9.0.0.1", "fd77::1"]

    ordered = in_order({ip_address(text) for text in texts})

    assert [str(each) for each in ordered] == ["9.0.0.1", "10.0.0.9", "fd77::1", "fd77::2"]


def test_what_was_found_before_natlb_is_remembered() -> None:
    """A later look sees interfaces forward: natlb made them; they are still closed to others."""
    first = host_plan()
    opened = tuple(replace(d, open4=True, open6=True, mtu=1400) for d in first.public.devices)
    later = replace(
        first,
        public=replace(first.public, devices=opened, ra_devices=()),
        tun_mtu=9000,
        vips=(ip_address("203.0.113.99"),),
    )
    plan = later.remembering(first)

    assert plan.public.devices == (Device(name="eth0", mtu=1400, open4=False, open6=False),)
    assert plan.public.ra_devices == first.public.ra_devices
    assert plan.tun_mtu == first.tun_mtu  # the device stands
    assert plan.vips == later.vips


def test_an_interface_that_is_new_keeps_what_was_found() -> None:
    """A backend behind another interface may come by a reload."""
    first = host_plan()
    added = Device(name="eth2", mtu=1500, open4=True, open6=False)
    later = replace(first, private=replace(first.private, devices=(*first.private.devices, added)))

    assert later.remembering(first).private.devices[-1] == added
    assert later.remembering(None) == later


def test_a_side_that_moves_to_another_namespace_needs_a_restart() -> None:
    """The TUN with its queue cannot be moved under a worker."""
    with pytest.raises(HostError, match="moved from namespace '' to 'left'"):
        apart(host_plan()).remembering(host_plan())


def test_errors_come_from_the_side_and_else_from_the_dummy_address() -> None:
    """IPv4 has 192.0.0.8 for who has no address (RFC 7600); IPv6 has none."""
    side = host_plan().public
    bare = replace(side, address4=None, address6=None)

    assert str(side.error_source(4)) == "198.51.100.1"
    assert str(side.error_source(6)) == "2001:db8:1::1"
    assert str(bare.error_source(4)) == "192.0.0.8"
    assert bare.error_source(6) is None


def test_neighbouring_ports_are_one_range() -> None:
    """Each costs a host that shares its address a rule."""
    one, other = ip_address("203.0.113.10"), ip_address("203.0.113.11")
    listens = {
        *(Listen("tcp", one, port) for port in (443, 80, 81, 82)),
        *(Listen("udp", one, port) for port in (82, 83)),
        Listen("tcp", other, 83),
        Listen("tcp", other, 84, 10),
    }
    found = [(str(r.address), r.protocol, str(r)) for r in port_ranges(listens)]

    assert found == [
        ("203.0.113.10", 6, "80-82"),
        ("203.0.113.10", 6, "443"),
        ("203.0.113.10", 17, "82-83"),
        ("203.0.113.11", 6, "83-93"),
    ]


def test_a_wish_carries_sources_and_ports() -> None:
    """Full NAT takes the ones, a host that shares its address gives up the others alone."""
    datapath = DatapathConfig(source=(ip_address("10.77.0.200"),))
    wish = Wanted.of(Config(services={"web": service("web", "203.0.113.10")}, datapath=datapath))

    assert wish.sources == datapath.source
    assert [(each.protocol, each.first) for each in wish.listens] == [(6, 80), (17, 53)]
