"""Frames as a real kernel gives and takes them: the loop between two veth pairs, tags and all.

A frame that a client sends raw comes in by a packet socket, is translated by the whole loop, and is
read raw again behind the other link. All addresses lie inside namespaces of the test's own.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from natlb.bpf.attach import attach_filter
from natlb.bpf.filters import private_filter, public_filter
from natlb.control.compile import Indices, Sides, compile_tables
from natlb.control.config import config_from_mapping
from natlb.control.host.packet_sockets import open_host, open_link
from natlb.core.layout import FORWARDED, PRIVATE, PUBLIC
from natlb.core.memory import Kind, load_items
from natlb.core.next_hops import ON_LINK, VLAN_BITS
from natlb.io.loop import PacketLoop
from natlb.io.ports import Port, PortKind
from natlb.io.shared import attach, create, create_flows, create_next_hops, create_tables
from natlb.netlink import call_inside
from tests.datapath import config, one_service
from tests.gateway import BACKEND4, CLIENT4, VIP4, gateway, ip, wait_until
from tests.paper_hops import Paper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway import Gateway

pytestmark = pytest.mark.netns

SOL_PACKET, AUXDATA, VNET_HDR = 263, 8, 15
ETH_P_ALL, IGNORE_OUTGOING, VLAN_VALID = 3, 23, 0x10
SECONDS = 30
VIP, BACKEND = ip_address(VIP4), ip_address(BACKEND4)
CONFIG = config_from_mapping(
    config(one_service(listen=f"udp://{VIP4}:53", backends=[f"{BACKEND4}:53"]))
)


def mac(netns: str, link: str) -> str:
    """Return a link's hardware address."""
    return str(ip(netns, "-j", "link", "show", link)[0]["address"])


def index(netns: str, link: str) -> int:
    """Return a link's number."""
    return int(ip(netns, "-j", "link", "show", link)[0]["ifindex"])


def is_up(netns: str, link: str) -> bool:
    """Return whether a link sends: the kernel begins some time after it was told to."""
    return bool(ip(netns, "-j", "link", "show", link)[0]["operstate"] == "UP")


class Wire:
    """A raw socket at the far end of a link."""

    def __init__(self, netns: str, link: str) -> None:
        """Listen to everything, and to who sent it."""
        family, kind = socket.AF_PACKET, socket.SOCK_RAW
        self.socket = call_inside(netns, lambda: socket.socket(family, kind, 0))
        self.socket.setsockopt(SOL_PACKET, AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
        self.socket.bind((link, ETH_P_ALL))

    def frame(self, holds: Any) -> tuple[Any, int]:
        """Return the next frame that `holds` says is meant, and the VLAN that it came in, or 0."""
        while select.select([self.socket], [], [], SECONDS)[0]:
            octets, beside, _, _ = self.socket.recvmsg(1 << 17, 64)
            read = Ether(octets)
            if not holds(read):
                continue
            told = beside[0][2]
            status, tag = int.from_bytes(told[:4], "little"), told[16:18]
            return read, int.from_bytes(tag, "little") if status & VLAN_VALID else 0
        message = "no such frame came"
        raise AssertionError(message)


class Stand:
    """A loop by packet sockets in the gateway, and raw sockets at both far ends."""

    def __init__(self, place: Gateway, clean: ExitStack) -> None:
        """Attach it."""
        self.place = place
        self.client, self.backend = Wire(place.client, "c0"), Wire(place.backend, "b0")
        clean.callback(self.client.socket.close)
        clean.callback(self.backend.socket.close)
        self.links = [open_link(name, place.gateway) for name in ("pub", "prv")]
        attach_filter(self.links[PUBLIC], public_filter([VIP], [VIP]))
        attach_filter(self.links[PRIVATE], private_filter([BACKEND], [VIP], [], []))
        outputs = [self._output() for _ in range(2)]
        hosts = [open_host(4, place.gateway) for _ in range(2)]
        self.memory = {
            "flows": create_flows(100, bytes(range(12)), 0),
            "counters": create(Kind.COUNTERS),
            "commands": create(Kind.COMMANDS),
            "events": create(Kind.EVENTS),
            "loads": create(Kind.LOADS, **load_items(1)),
        }
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        for fd in (*self.links, *outputs, *hosts, *self.memory.values(), self.wake):
            clean.callback(os.close, fd)
        self.indices = [index(place.gateway, name) for name in ("pub", "prv")]
        ports = []
        for side in (PUBLIC, PRIVATE):
            ports.append(Port(PortKind.LINK, side, self.links[side], self.indices[side]))
            ports.append(Port(PortKind.OUTPUT, side, outputs[side]))
            ports.append(Port(PortKind.HOST, side, hosts[side], number=4))
        self.loop = PacketLoop()
        self.loop.prepare(lambda _: None)
        self.loop.attach(index=0, ports=ports, **self.memory)
        self.counters = attach(Kind.COUNTERS, self.memory["counters"])
        self._load_tables()
        self.know()

    def _output(self) -> int:
        family, kind = socket.AF_PACKET, socket.SOCK_RAW
        made = call_inside(self.place.gateway, lambda: socket.socket(family, kind, 0))
        made.setsockopt(SOL_PACKET, VNET_HDR, 1)
        return made.detach()

    def _load_tables(self) -> None:
        indices = Indices().assign(CONFIG, set(), set())
        tables = create_tables(
            compile_tables(
                CONFIG, indices=indices, run_time={}, sides=Sides(), seed=1, generation=1
            )
        )
        self.loop.load_tables(tables)
        os.close(tables)

    def know(self, *, neighbours: bool = True, vlan: int = 0) -> None:
        """Give the loop its next hops; `vlan` has an interface of its own on the public side."""
        paper = Paper()
        far = (self.place.client, "c0", CLIENT4), (self.place.backend, "b0", BACKEND4)
        networks = "198.51.100.0/24", "10.77.0.0/24"
        for side, (netns, link, address) in enumerate(far):
            own = mac(self.place.gateway, ("pub", "prv")[side]).replace(":", "")
            paper.link(side, self.indices[side], own)
            paper.route(networks[side], ON_LINK, table=side, link=side)
            if neighbours:
                theirs = mac(netns, link).replace(":", "")
                paper.neighbour(address, table=side, link=side, mac=theirs)
        hops = paper.hops._replace(answered=paper.answered((VIP4, self.indices[PUBLIC])))
        hops = hops._replace(vlans=hops.vlans if not vlan else paper.vlans(vlan))
        fd = create_next_hops(hops)
        self.loop.load_next_hops(fd)
        os.close(fd)

    def turn(self, side: int) -> None:
        """Wait for a frame on a side, and let the loop take it and all that is there."""
        select.select([self.links[side]], [], [], SECONDS)
        os.eventfd_write(self.wake, 1)
        assert self.loop.run(self.wake) == "wake"
        os.eventfd_read(self.wake)

    def ask(self, tag: int | None = None, octets: int = 5, port: int = 4000) -> None:
        """Send a datagram to the VIP as the client's own frame."""
        frame = Ether(src=mac(self.place.client, "c0"), dst=mac(self.place.gateway, "pub"))
        if tag is not None:
            frame /= Dot1Q(vlan=tag & 0xFFF, prio=tag >> 13)
        packet = IP(src=CLIENT4, dst=VIP4) / UDP(sport=port, dport=53) / Raw(bytes(octets))
        self.client.socket.send(bytes(frame / packet))


def to_backend(frame: Any) -> bool:
    """Return whether a frame is what the client asked."""
    return UDP in frame and frame[UDP].dport == 53


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """Return a loop between a client and a backend."""
    with gateway() as place, ExitStack() as clean:
        yield Stand(place, clean)


@pytest.mark.parametrize("tag", [None, 3 << 13, 100, 5 << 13 | 7])
def test_a_frame_goes_through_and_keeps_its_tag(stand: Stand, tag: int | None) -> None:
    """Priority and VLAN as they were, both ways; none where there was none."""
    stand.ask(tag, port=4000 + (tag or 0) % 1000)
    stand.turn(PUBLIC)
    frame, seen = stand.backend.frame(to_backend)

    assert (frame[IP].dst, seen) == (BACKEND4, tag or 0)
    assert frame.dst == mac(stand.place.backend, "b0")
    answer = Ether(src=frame.dst, dst=frame.src)
    if tag is not None:
        answer /= Dot1Q(vlan=tag & 0xFFF, prio=tag >> 13)
    answer /= IP(src=BACKEND4, dst=CLIENT4) / UDP(sport=53, dport=frame[UDP].sport)
    stand.backend.socket.send(bytes(answer / Raw(b"well")))
    stand.turn(PRIVATE)
    frame, seen = stand.client.frame(lambda each: UDP in each and each[UDP].sport == 53)

    assert (frame[IP].src, bytes(frame[Raw])[:4], seen) == (VIP4, b"well", tag or 0)


def test_a_vlan_with_an_interface_of_its_own_is_left_to_it(stand: Stand) -> None:
    """The kernel gives the same frame to that one as well."""
    stand.know(vlan=stand.indices[PUBLIC] << VLAN_BITS | 200)
    before = int(stand.counters.totals[FORWARDED])
    stand.ask(200)
    stand.turn(PUBLIC)
    assert stand.counters.totals[FORWARDED] == before
    stand.know()
    stand.ask(200)
    stand.turn(PUBLIC)

    assert stand.backend.frame(to_backend)[1] == 200


@pytest.mark.parametrize("tag", [None, 100])
def test_who_asks_for_a_vip_is_told(stand: Stand, tag: int | None) -> None:
    """In the VLAN that the question came in."""
    own, theirs = mac(stand.place.gateway, "pub"), mac(stand.place.client, "c0")
    question = Ether(src=theirs, dst="ff:ff:ff:ff:ff:ff")
    if tag is not None:
        question /= Dot1Q(vlan=tag)
    question /= ARP(op=1, hwsrc=theirs, psrc=CLIENT4, pdst=VIP4)
    stand.client.socket.send(bytes(question))
    stand.turn(PUBLIC)
    frame, seen = stand.client.frame(lambda each: ARP in each and each[ARP].op == 2)

    assert (frame[ARP].psrc, frame[ARP].hwsrc, seen) == (VIP4, own, tag or 0)


def test_whose_neighbour_is_not_known_the_host_sends(stand: Stand) -> None:
    """It resolves the backend, and the packet arrives all the same."""
    stand.know(neighbours=False)
    stand.ask(port=5000)
    stand.turn(PUBLIC)
    frame, _ = stand.backend.frame(to_backend)
    stand.know()

    assert (frame[IP].src, frame[UDP].sport, frame[IP].dst) == (CLIENT4, 5000, BACKEND4)


def test_a_super_packet_passes_whole(stand: Stand) -> None:
    """A client's kernel leaves cutting and sums to the device: natlb hands both on."""
    family, kind = socket.AF_INET, socket.SOCK_DGRAM
    segment = 103  # UDP_SEGMENT, udp.h in Linux
    with call_inside(stand.place.client, lambda: socket.socket(family, kind)) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, segment, 1000)
        ip(
            stand.place.client,
            *f"neighbour replace {VIP4} lladdr {mac(stand.place.gateway, 'pub')} dev c0".split(),
        )
        ip(stand.place.client, *f"route replace {VIP4}/32 dev c0".split())
        sender.bind((CLIENT4, 6000))
        sender.sendto(bytes(2500), (VIP4, 53))
    stand.turn(PUBLIC)
    frame, _ = stand.backend.frame(lambda each: to_backend(each) and each[UDP].sport == 6000)

    assert (frame[IP].dst, len(frame[Raw])) == (BACKEND4, 2500)


def test_a_link_that_goes_down_and_up_forwards_again(stand: Stand) -> None:
    """It is no reason to stop, nor to spin."""
    ip(stand.place.gateway, *["link", "set", "pub", "down"])
    os.eventfd_write(stand.wake, 1)
    assert stand.loop.run(stand.wake) == "wake"
    os.eventfd_read(stand.wake)
    assert not select.select([stand.links[PUBLIC]], [], [], 0)[0]
    ip(stand.place.gateway, *["link", "set", "pub", "up"])
    ends = (stand.place.gateway, "pub"), (stand.place.client, "c0")
    wait_until(lambda: all(is_up(*end) for end in ends), SECONDS)
    stand.ask(port=7000)
    stand.turn(PUBLIC)
    frame, _ = stand.backend.frame(lambda each: to_backend(each) and each[UDP].sport == 7000)

    assert frame[IP].dst == BACKEND4
