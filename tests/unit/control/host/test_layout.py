from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

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
from natlb.control.host.plan import (
    Device,
    HostPlan,
    Neighbours,
    Ports,
    Side,
    SideWanted,
    Wanted,
)
from natlb.netlink.values import Proxy
from tests.paper_host import apart, host_plan, sharing, wanted

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
    hosts=SOME,
)
PROXIES = st.lists(st.builds(Proxy, address=ADDRESSES, dev=NAMES), max_size=3).map(tuple)
NUMBERS = st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)).map(sorted)
PORTS = st.lists(
    st.builds(
        lambda address, protocol, numbers: Ports(
            address=address, protocol=protocol, first=numbers[0], last=numbers[1]
        ),
        ADDRESSES,
        st.sampled_from([6, 17]),
        NUMBERS,
    ),
    max_size=3,
).map(tuple)
NETWORKS = st.builds(
    lambda address, length: ip_network((address, length), strict=False),
    st.ip_addresses(v=6),
    st.integers(0, 128),
)
NEIGHBOURHOODS = st.lists(st.builds(Neighbours, dev=NAMES, network=NETWORKS), max_size=3).map(tuple)
PLANS = st.builds(
    HostPlan,
    public=SIDES,
    private=SIDES,
    tun_mtu=MTUS,
    vips=SOME,
    backends=SOME,
    local_backends=SOME,
    proxies=PROXIES,
    sources=SOME,
    private_proxies=PROXIES,
    host_vips=SOME,
    services=PORTS,
    neighbours=NEIGHBOURHOODS,
    own=SOME,
    has_ipv6=st.booleans(),
    force_forwarding=st.booleans(),
)
WISHED = st.builds(SideWanted, netns=NETNS, interfaces=st.lists(NAMES, max_size=3).map(tuple))
WISHES = st.builds(
    Wanted,
    public=WISHED,
    private=WISHED,
    vips=SOME,
    backends=SOME,
    sources=SOME,
    listens=PORTS,
)


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
    octets = bytearray(encode_plan(data.draw(st.sampled_from([apart(host_plan()), sharing()]))))
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


@pytest.mark.parametrize(("protocol", "first", "last"), [(1, 80, 80), (6, 0, 80), (17, 81, 80)])
def test_ports_that_no_service_listens_on_are_refused(protocol: int, first: int, last: int) -> None:
    """They become a policy rule that takes the host's own traffic."""
    ports = Ports(address=ip_address("10.0.0.1"), protocol=protocol, first=first, last=last)
    with pytest.raises(LayoutError, match=r"port|protocol"):
        decode_wanted(encode_wanted(replace(wanted(), listens=(ports,))))


def test_a_neighbourhood_is_a_network() -> None:
    """Of a length that there is, without bits behind it."""
    plan = sharing()
    octets = encode_plan(plan)
    at = octets.index(plan.neighbours[0].network.network_address.packed, len(octets) - 100)
    for place, value in ((at + 15, 1), (at + 16, 129)):
        with pytest.raises(LayoutError):
            decode_plan(octets[:place] + bytes([value]) + octets[place + 1 :])
