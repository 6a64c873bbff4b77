from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.host.layout import (
    PLAN_HEADER,
    PLAN_SIDE,
    LayoutError,
    decode_plan,
    decode_wanted,
    encode_plan,
    encode_wanted,
)
from natlb.control.host.plan import Device, HostPlan, Side, SideWanted, Wanted
from natlb.netlink.values import Proxy
from tests.paper_host import apart, host_plan, wanted

ADDRESSES = st.ip_addresses().filter(
    lambda a: not (a.is_multicast or a.is_unspecified or a.is_loopback)
)
NAMES = st.from_regex(r"[a-z][a-z0-9.@_-]{0,14}", fullmatch=True)
NETNS = st.from_regex(r"[a-z0-9_-]{0,40}", fullmatch=True)
MTUS = st.integers(68, 65_535)
SOME = st.lists(ADDRESSES, max_size=4).map(tuple)
DEVICES = st.builds(Device, name=NAMES, mtu=MTUS, open4=st.booleans(), open6=st.booleans())
SIDES = st.builds(
    Side,
    netns=NETNS,
    devices=st.lists(DEVICES, max_size=3).map(tuple),
    way_mtu=MTUS,
    address4=st.none() | st.ip_addresses(v=4),
    address6=st.none() | st.ip_addresses(v=6),
    ra_devices=st.lists(NAMES, max_size=3).map(tuple),
)
PLANS = st.builds(
    HostPlan,
    public=SIDES,
    private=SIDES,
    tun_mtu=MTUS,
    vips=SOME,
    backends=SOME,
    local_backends=SOME,
    proxies=st.lists(st.builds(Proxy, address=ADDRESSES, dev=NAMES), max_size=3).map(tuple),
    has_ipv6=st.booleans(),
    force_forwarding=st.booleans(),
)
WISHED = st.builds(SideWanted, netns=NETNS, interfaces=st.lists(NAMES, max_size=3).map(tuple))
WISHES = st.builds(Wanted, public=WISHED, private=WISHED, vips=SOME, backends=SOME)


@given(PLANS)
def test_a_plan_comes_back_as_it_was(plan: HostPlan) -> None:
    """What the supervisor applies is what control meant."""
    assert decode_plan(encode_plan(plan)) == plan


@given(WISHES)
def test_a_wish_comes_back_as_it_was(wish: Wanted) -> None:
    """So it is with what control wants."""
    assert decode_wanted(encode_wanted(wish)) == wish


@given(st.data())
def test_octets_changed_anywhere_are_a_plan_or_refused(data: st.DataObject) -> None:
    """The reader raises nothing else, and what it takes it writes again octet for octet."""
    octets = bytearray(encode_plan(apart(host_plan("203.0.113.10 2001:db8::1"))))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        plan = decode_plan(bytes(octets))
    except LayoutError:
        return

    assert encode_plan(plan) == bytes(octets)


@given(st.binary(max_size=200))
def test_any_octets_are_refused_with_a_word(octets: bytes) -> None:
    """Control is not trusted with the supervisor's life."""
    for decode in (decode_plan, decode_wanted):
        with pytest.raises(LayoutError):
            decode(octets)


@pytest.mark.parametrize("cut", [0, 1, PLAN_HEADER.size, PLAN_HEADER.size + PLAN_SIDE.size, -1])
def test_a_plan_cut_short_is_refused(cut: int) -> None:
    """At every border between its parts."""
    with pytest.raises(LayoutError):
        decode_plan(encode_plan(host_plan())[:cut])


def test_a_plan_with_a_tail_is_refused() -> None:
    """The length is the sum of its parts and nothing more."""
    with pytest.raises(LayoutError):
        decode_plan(encode_plan(host_plan()) + b"\0")


def test_counts_that_promise_too_much_are_refused_before_they_are_believed() -> None:
    """No list is made as long as a stranger says."""
    octets = bytearray(encode_wanted(wanted()))
    octets[4:8] = (0xFFFF_FFFF).to_bytes(4, "little")
    with pytest.raises(LayoutError):
        decode_wanted(bytes(octets))


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "::", "::1", "ff02::1"])
def test_addresses_that_no_service_has_are_refused(address: str) -> None:
    """A route to loopback or to a group would take the host's own traffic."""
    octets = encode_plan(replace(host_plan(), vips=(ip_address(address),)))
    with pytest.raises(LayoutError, match="address"):
        decode_plan(octets)


@pytest.mark.parametrize("name", ["..", "a/b", "a b", "a:b", ""])
def test_names_that_would_lead_elsewhere_are_refused(name: str) -> None:
    """A name becomes part of a path under /proc/sys."""
    device = replace(host_plan().public.devices[0], name=name)
    side = replace(host_plan().public, devices=(device,))
    with pytest.raises(LayoutError, match="name"):
        decode_plan(encode_plan(replace(host_plan(), public=side)))
