from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, raw

from natlb.bpf.filters import private_filter, public_filter
from natlb.errors import HostError
from tests.bpf_machine import run
from tests.bpf_packets import BACKENDS, SOURCES, VIPS, cases

HOST, BROADCAST, MULTICAST, OTHER, OUTGOING = range(5)  # Linux: if_packet.h
ANSWERED = [VIPS[0], VIPS[2]]
PUBLIC = public_filter(VIPS, ANSWERED)
PRIVATE = private_filter(BACKENDS, VIPS, SOURCES, ANSWERED)
FILTERS = pytest.mark.parametrize("program", [PUBLIC, PRIVATE], ids=["public", "private"])

CLIENT4, CLIENT6 = "198.51.100.2", "2001:db8:1::2"
VIP4, VIP6 = "203.0.113.10", "2001:db8:2::10"
BACKEND4, BACKEND6 = "10.77.1.11", "fd77::1:b"
NEIGHBOUR4, NEIGHBOUR6 = "10.77.1.200", "fd77::1:200"  # on the backends' network, and none of them
SOURCE4, SOURCE6 = "10.77.0.1", "fd77::1"
ROUTER4, ROUTER6 = "10.77.0.254", "fd77::fe"
# Said, or scapy would ask the network for it
FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PAYLOAD = UDP(sport=5, dport=6)


def accepts(program: bytes, packet: Packet, packet_type: int = HOST) -> bool:
    """Return whether the filter keeps a frame with this packet."""
    return run(program, raw(FRAME / packet), packet_type) >= 0x10000


def ip(source: str, destination: str) -> Packet:
    """Return the header of either version."""
    return (IPv6 if ":" in source else IP)(src=source, dst=destination)


@pytest.mark.parametrize(
    ("source", "destination", "public", "private"),
    [
        (CLIENT4, VIP4, True, True),
        (CLIENT6, VIP6, True, True),
        (CLIENT4, "203.0.113.12", False, False),
        (CLIENT6, "2001:db8:2::11", False, False),
        (BACKEND4, CLIENT4, False, True),
        (BACKEND6, CLIENT6, False, True),
        ("fd78::5", CLIENT6, False, True),
        (NEIGHBOUR4, CLIENT4, False, False),
        (NEIGHBOUR6, CLIENT6, False, False),
        (NEIGHBOUR4, SOURCE4, False, True),
        (NEIGHBOUR6, SOURCE6, False, True),
    ],
)
def test_packets_are_let_in_by_their_addresses(
    source: str, destination: str, public: bool, private: bool
) -> None:
    """Of any protocol, and fragments and packets with options or extension headers."""
    whole = ip(source, destination)
    extended: list[Packet] = [whole / PAYLOAD, whole]
    if ":" in source:
        extended += [whole / IPv6ExtHdrDestOpt() / PAYLOAD]
    else:
        extended += [IP(src=source, dst=destination, frag=7) / PAYLOAD]
    for packet in extended:
        assert accepts(PUBLIC, packet) is public
        assert accepts(PRIVATE, packet) is private


@pytest.mark.parametrize(
    ("backend", "vip", "own", "client"),
    [(BACKEND4, VIP4, "10.77.1.1", CLIENT4), (BACKEND6, VIP6, "fe80::1", CLIENT6)],
)
def test_what_a_backend_sends_to_the_host_is_the_hosts_alone(
    backend: str, vip: str, own: str, client: str
) -> None:
    """Answers to checks, which natlb would send on to the host once more."""
    program = private_filter(BACKENDS, VIPS, SOURCES, ANSWERED, [ip_address(own)])

    assert not accepts(program, ip(backend, own) / PAYLOAD)
    for destination in (vip, client):
        assert accepts(program, ip(backend, destination) / PAYLOAD)


@pytest.mark.parametrize(
    ("backend", "vip", "client"), [(BACKEND4, VIP4, CLIENT4), (BACKEND6, VIP6, CLIENT6)]
)
def test_on_an_interface_of_both_sides_a_packet_is_one_sockets_alone(
    backend: str, vip: str, client: str
) -> None:
    """A hairpin is the private one's: it comes from a backend, and goes to a VIP."""
    public = public_filter(VIPS, ANSWERED, BACKENDS)
    private = private_filter(BACKENDS, [], SOURCES, [])
    expected = {(client, vip): (True, False), (backend, vip): (False, True)}
    expected[backend, client] = (False, True)

    for (source, destination), seen in expected.items():
        packet = ip(source, destination) / PAYLOAD
        assert (accepts(public, packet), accepts(private, packet)) == seen
    assert accepts(public, ARP(op=1, psrc=CLIENT4, pdst=VIP4), BROADCAST)
    assert not accepts(private, ARP(op=1, psrc=CLIENT4, pdst=VIP4), BROADCAST)


@FILTERS
@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_what_was_sent_to_another_mac_address_is_the_other_hosts(program: bytes, vip: str) -> None:
    """On a bridge port or a tapped interface such frames come in too; the kernel drops them."""
    client = CLIENT6 if ":" in vip else CLIENT4
    kinds = range(5)

    found = [accepts(program, ip(client, vip) / PAYLOAD, kind) for kind in kinds]

    assert found == [True, False, False, False, False]


@FILTERS
def test_questions_for_answered_addresses_are_let_in(program: bytes) -> None:
    """By ARP and by neighbour discovery, sent to all or to this host."""
    for kind, expected in ((HOST, True), (BROADCAST, True), (OTHER, False), (OUTGOING, False)):
        assert accepts(program, ARP(op=1, psrc=CLIENT4, pdst=VIP4), kind) is expected
    group = "ff02::1:ff00:10"
    question = IPv6(src="fe80::1", dst=group, hlim=255) / ICMPv6ND_NS(tgt=VIP6)
    for kind, expected in ((HOST, True), (MULTICAST, True), (OTHER, False), (OUTGOING, False)):
        assert accepts(program, question, kind) is expected


@FILTERS
def test_other_talk_of_neighbours_is_not_let_in(program: bytes) -> None:
    """Answers, questions for others, and what came over a router: RFC 4861 section 7.1.1."""
    group = "ff02::1:ff00:10"
    for packet in (
        ARP(op=2, psrc=VIP4, pdst=VIP4),
        ARP(op=1, psrc=CLIENT4, pdst="203.0.113.11"),
        ARP(op=1, hwtype=6, psrc=CLIENT4, pdst=VIP4),
        IPv6(src="fe80::1", dst=group, hlim=255) / ICMPv6ND_NA(tgt=VIP6),
        IPv6(src="fe80::1", dst=group, hlim=254) / ICMPv6ND_NS(tgt=VIP6),
        IPv6(src="fe80::1", dst=group, hlim=255) / ICMPv6ND_NS(tgt="2001:db8:2::1010"),
    ):
        assert not accepts(program, packet, MULTICAST), packet


@pytest.mark.parametrize(
    ("router", "client", "backend", "vip"),
    [(ROUTER4, CLIENT4, BACKEND4, VIP4), (ROUTER6, CLIENT6, BACKEND6, VIP6)],
)
def test_icmp_of_the_private_side_is_let_in_whoever_sends_it(
    router: str, client: str, backend: str, vip: str
) -> None:
    """Errors of routers go to the client; on an interface of both sides a VIP's is the other's."""
    quoted = ip(client, backend) / PAYLOAD
    error = (ICMPv6DestUnreach() if ":" in vip else ICMP(type=3)) / quoted
    private = private_filter(BACKENDS, [], SOURCES, [], (), VIPS)

    assert accepts(PRIVATE, ip(router, client) / error)
    assert not accepts(PUBLIC, ip(router, client) / error)
    assert accepts(private, ip(router, client) / error)
    assert accepts(PUBLIC, ip(router, vip) / error)
    assert not accepts(private, ip(router, vip) / error)
    assert accepts(private, ip(backend, vip) / error)
    assert not accepts(PRIVATE, ip(router, client) / PAYLOAD)


@FILTERS
def test_a_frame_with_a_tag_left_in_it_is_the_kernels(program: bytes) -> None:
    """The kernel has taken out the only tag that is natlb's concern."""
    frame = FRAME / Dot1Q(vlan=5) / ip(CLIENT4, VIP4) / PAYLOAD

    assert run(program, raw(frame)) == 0


def test_all_that_steering_has_rules_for_is_let_in() -> None:
    """The two programs must not part: steering's own packets, with a header before them."""
    for side, program in ((0, PUBLIC), (1, PRIVATE)):
        for case in cases(side, 600):
            if case.by is None and case.word in {"discovery", "arp", "nothing", "cut off"}:
                continue
            ethertype = b"\x08\x00" if case.packet[0] >> 4 == 4 else b"\x86\xdd"

            assert run(program, bytes(12) + ethertype + case.packet), case.word


def apart(
    kind: type[IPv4Address | IPv6Address], base: int, count: int
) -> list[IPv4Address | IPv6Address]:
    """Return addresses no two of which are neighbours."""
    return [kind(base + 2 * number) for number in range(count)]


def test_the_most_backends_without_neighbours_that_fit() -> None:
    """The limit that the docs name; any number of neighbours counts as one."""
    room = apart(IPv4Address, 0x0A4D0000, 1790)
    assert private_filter(room, VIPS, SOURCES, ANSWERED)
    pool = [IPv4Address(0x0A4E0000 + number) for number in range(60_000)]
    assert private_filter([*room[:1780], *pool], VIPS, SOURCES, ANSWERED)
    with pytest.raises(
        HostError, match=r"does not take 1,\d\d\d addresses: .* the kernel takes"
    ) as caught:
        private_filter(apart(IPv4Address, 0x0A4D0000, 1900), VIPS, SOURCES, ANSWERED)

    assert "driver: tun" in str(caught.value.fix)


def test_no_addresses_let_nothing_in() -> None:
    """A configuration without services yet."""
    for program in (public_filter([], []), private_filter([], [], [], [])):
        for source, destination in pairwise([CLIENT4, VIP4, BACKEND4, CLIENT4]):
            assert not accepts(program, ip(source, destination) / PAYLOAD)
        assert not accepts(program, ip(CLIENT6, VIP6) / PAYLOAD)
        assert not accepts(program, ARP(op=1, pdst=VIP4), BROADCAST)


def test_a_frame_cut_off_anywhere_is_no_trouble() -> None:
    """A load from beyond the end is "not natlb's"."""
    quoted = ip(CLIENT4, BACKEND4) / PAYLOAD
    frame = raw(FRAME / ip(ROUTER4, CLIENT4) / ICMP(type=3) / quoted)
    for length in range(len(frame)):
        expected = length >= 14 + 20

        assert bool(run(PRIVATE, frame[:length])) is expected
    assert ip_address(BACKEND4) in BACKENDS
