"""Frames by AF_XDP on a real kernel: the loop between two veth pairs, with the redirect before it.

A client's raw frame is redirected into a ring, translated by the whole loop, put into the other
side's ring, and read raw behind that link. All addresses lie inside namespaces of the test's own.
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
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from natlb.bpf.redirect import GENERIC, NATIVE, Redirect
from natlb.control.compile import Indices, Sides, compile_tables
from natlb.control.compile.sides import WayOut
from natlb.control.config import config_from_mapping
from natlb.control.host.packet_sockets import open_host, open_output
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.memory import Kind, load_items
from natlb.core.next_hops import ON_LINK
from natlb.io.loop import PacketLoop
from natlb.io.ports import Port, PortKind
from natlb.io.rings import (
    CONSUMER,
    ENTRIES,
    FILL,
    PRODUCER,
    RECEIVE,
    count_of,
    make_rings,
    set_count,
)
from natlb.io.shared import create, create_flows, create_next_hops, create_tables
from natlb.io.xsk_shape import FRAME_OCTETS, RECEIVE_FRAMES, RING_SIZE
from natlb.netlink import call_inside
from tests.bpf_kernel import needs_bpf
from tests.datapath import config, one_service
from tests.gateway import BACKEND4, CLIENT4, gateway, ip, udp, wait_until
from tests.paper_hops import Paper
from tests.xdp_socket import open_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway import Gateway

pytestmark = pytest.mark.netns

ETH_P_ALL = 3
SECONDS = 30
VIP4 = "198.51.100.1"  # the gateway's own address, of which natlb has a port
VIP, BACKEND = ip_address(VIP4), ip_address(BACKEND4)
CONFIG = config_from_mapping(
    config(one_service(listen=f"udp://{VIP4}:53", backends=[f"{BACKEND4}:53"]))
)
LINKS = "pub", "prv"


def shown(netns: str, link: str) -> Any:
    """Return what `ip` says of a link."""
    return ip(netns, "link", "show", link)[0]


class Wire:
    """A raw socket at the far end of a link."""

    def __init__(self, netns: str, link: str, clean: ExitStack) -> None:
        """Listen to everything."""
        family, kind = socket.AF_PACKET, socket.SOCK_RAW
        self.mac = shown(netns, link)["address"]
        self.socket = call_inside(netns, lambda: socket.socket(family, kind, 0))
        clean.callback(self.socket.close)
        self.socket.bind((link, ETH_P_ALL))

    def frame(self, payload: bytes) -> Any:
        """Return the next frame that holds this."""
        while select.select([self.socket], [], [], SECONDS)[0]:
            read = Ether(self.socket.recv(1 << 16))
            if Raw in read and bytes(read[Raw]).startswith(payload):
                return read
        message = "no such frame came"
        raise AssertionError(message)


class Stand:
    """A loop by AF_XDP in the gateway, and raw sockets at both far ends."""

    def __init__(self, place: Gateway, mode: str, clean: ExitStack) -> None:
        """Attach it."""
        self.place = place
        self.client = Wire(place.client, "c0", clean)
        self.backend = Wire(place.backend, "b0", clean)
        self.macs = [shown(place.gateway, name)["address"] for name in LINKS]
        self.indices = [int(shown(place.gateway, name)["ifindex"]) for name in LINKS]
        self.ports: list[Port] = []
        for side in (PUBLIC, PRIVATE):
            self._redirect(side, mode, clean)
            output, host = open_output(place.gateway), open_host(4, place.gateway)
            self.ports.append(Port(PortKind.OUTPUT, side, output))
            self.ports.append(Port(PortKind.HOST, side, host, number=4))
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        self.memory = {
            "flows": create_flows(100, bytes(range(12)), 0),
            "counters": create(Kind.COUNTERS),
            "commands": create(Kind.COMMANDS),
            "events": create(Kind.EVENTS),
            "loads": create(Kind.LOADS, **load_items(1)),
        }
        for fd in (*(port.fd for port in self.ports), *self.memory.values(), self.wake):
            clean.callback(os.close, fd)
        self._keep_quiet(clean)
        self.loop = self.worker()

    def _keep_quiet(self, clean: ExitStack) -> None:
        """Let both ends listen, or their kernels would send errors."""
        for netns, address, port in (
            (self.place.client, CLIENT4, 4000),
            (self.place.backend, BACKEND4, 53),
        ):
            listener = udp(netns)
            clean.callback(listener.close)
            listener.bind((address, port))

    def _redirect(self, side: int, mode: str, clean: ExitStack) -> None:
        """Have a side's frames come to a socket of its own."""
        where, ifindex = self.place.gateway, self.indices[side]
        redirect = Redirect(side, 1, 1, [VIP], [BACKEND], [])
        clean.callback(redirect.close)
        clean.callback(os.close, call_inside(where, lambda: redirect.attach(ifindex, mode)))
        redirect.set_mac(bytes.fromhex(self.macs[side].replace(":", "")))
        xsk, memory = call_inside(where, lambda: open_whole(ifindex, 0))
        clean.callback(os.close, memory)
        redirect.set_socket(0, 0, xsk)
        self.ports.append(Port(PortKind.XSK, side, xsk, ifindex, 0, memory))

    def worker(self) -> PacketLoop:
        """Return a loop as a new worker has it."""
        loop = PacketLoop()
        loop.prepare(lambda _: None)
        loop.attach(index=0, ports=self.ports, **self.memory)
        indices, sides = Indices().assign(CONFIG, set(), set()), Sides(public=WayOut(hosts=(VIP,)))
        tables = create_tables(
            compile_tables(CONFIG, indices=indices, run_time={}, sides=sides, seed=1, generation=1)
        )
        loop.load_tables(tables)
        os.close(tables)
        self.know(loop)
        return loop

    def know(self, loop: PacketLoop, *, neighbours: bool = True) -> None:
        """Give a loop its next hops."""
        paper = Paper()
        far = (self.client, CLIENT4, "198.51.100.0/24"), (self.backend, BACKEND4, "10.77.0.0/24")
        for side, (wire, address, network) in enumerate(far):
            paper.link(side, self.indices[side], self.macs[side].replace(":", ""))
            paper.route(network, ON_LINK, table=side, link=side)
            if neighbours:
                mac = wire.mac.replace(":", "")
                paper.neighbour(address, table=side, link=side, mac=mac)
        fd = create_next_hops(paper.hops)
        loop.load_next_hops(fd)
        os.close(fd)

    def turn(self, side: int) -> None:
        """Wait for a frame on a side, and let the loop take it and all that is there."""
        xsk = next(port.fd for port in self.ports if (port.kind, port.side) == (PortKind.XSK, side))
        assert select.select([xsk], [], [], SECONDS)[0]
        os.eventfd_write(self.wake, 1)
        assert self.loop.run(self.wake) == "wake"
        os.eventfd_read(self.wake)

    def ask(self, payload: bytes, port: int = 53, tag: int | None = None) -> None:
        """Send a datagram to the VIP as the client's own frame."""
        frame = Ether(src=self.client.mac, dst=self.macs[PUBLIC])
        if tag is not None:
            frame /= Dot1Q(vlan=tag & 0xFFF, prio=tag >> 13)
        packet = IP(src=CLIENT4, dst=VIP4) / UDP(sport=4000, dport=port) / Raw(payload)
        self.client.socket.send(bytes(frame / packet))

    def pass_through(self, word: bytes, tag: int | None = None) -> None:
        """Send a question and its answer, and see that both are what they should be."""
        self.ask(word, tag=tag)
        self.turn(PUBLIC)
        frame = self.backend.frame(word)
        assert (frame.src, frame.dst) == (self.macs[PRIVATE], self.backend.mac)
        assert (frame[IP].src, frame[IP].dst, frame[UDP].dport) == (CLIENT4, BACKEND4, 53)
        answer = Ether(src=self.backend.mac, dst=self.macs[PRIVATE])
        if tag is not None:
            answer /= Dot1Q(vlan=tag & 0xFFF, prio=tag >> 13)
        answer /= IP(src=BACKEND4, dst=CLIENT4) / UDP(sport=53, dport=frame[UDP].sport)
        self.backend.socket.send(bytes(answer / Raw(b"re " + word)))
        self.turn(PRIVATE)
        frame = self.client.frame(b"re " + word)
        whole = bytes(frame[IP])
        del frame[IP].chksum, frame[UDP].chksum
        assert bytes(IP(bytes(frame[IP]))) == whole  # scapy sums it up as natlb did
        assert (frame[IP].src, frame[UDP].sport, frame.dst) == (VIP4, 53, self.client.mac)


@pytest.fixture(scope="module", params=[NATIVE, GENERIC])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """Return a loop between a client and a backend."""
    needs_bpf()
    with gateway() as place, ExitStack() as clean:
        made = Stand(place, request.param, clean)
        yield made
        del made.loop  # it has the sockets mapped, which keeps them


@pytest.mark.parametrize("tag", [None, 3 << 13, 100])
def test_a_frame_goes_through_both_ways(stand: Stand, tag: int | None) -> None:
    """By the rings alone, sums and tags and all."""
    stand.pass_through(f"word {tag}".encode(), tag)


def test_whose_neighbour_is_not_known_the_host_sends(stand: Stand) -> None:
    """It resolves the backend, and the packet arrives all the same."""
    stand.know(stand.loop, neighbours=False)
    stand.ask(b"resolve")
    stand.turn(PUBLIC)
    frame = stand.backend.frame(b"resolve")
    stand.know(stand.loop)

    assert (frame[IP].src, frame[IP].dst) == (CLIENT4, BACKEND4)


def test_a_port_of_the_hosts_own_is_still_the_hosts(stand: Stand) -> None:
    """The redirect knows addresses alone, so natlb gives back what is not its own."""
    with udp(stand.place.gateway) as listener:
        listener.settimeout(SECONDS)
        listener.bind((VIP4, 9))
        stand.ask(b"for the host", port=9)
        stand.turn(PUBLIC)
        got = listener.recvfrom(100)

    assert got == (b"for the host", (CLIENT4, 4000))


def test_the_next_worker_takes_the_rings_over(stand: Stand) -> None:
    """As one left them that was killed between giving frames back and saying what it took."""
    stand.ask(b"in hand")
    wait_until(lambda: select.select([stand.ports[0].fd], [], [], 1)[0], SECONDS)
    xsks = [port for port in stand.ports if port.kind is PortKind.XSK]
    rings = make_rings(xsks)
    given = count_of(rings, PUBLIC, FILL, PRODUCER)
    at = int(rings.places[PUBLIC, RECEIVE, ENTRIES]) // 8
    taken = count_of(rings, PUBLIC, RECEIVE, CONSUMER)
    frame = int(rings.entries[PUBLIC, RECEIVE, at + 2 * (taken % RING_SIZE)])
    fill = int(rings.places[PUBLIC, FILL, ENTRIES]) // 8
    rings.entries[PUBLIC, FILL, fill + given % RING_SIZE] = frame & ~(FRAME_OCTETS - 1)
    set_count(rings, PUBLIC, FILL, PRODUCER, given + 1)
    stand.loop = stand.worker()
    stand.pass_through(b"after all")
    counts = (
        count_of(rings, side, ring, place)
        for side in (PUBLIC, PRIVATE)
        for ring, place in ((FILL, PRODUCER), (RECEIVE, CONSUMER))
    )
    public, taken_public, private, taken_private = counts

    assert public - taken_public == private - taken_private == RECEIVE_FRAMES


def test_a_link_that_goes_down_and_up_forwards_again(stand: Stand) -> None:
    """It is no reason to stop."""
    ip(stand.place.gateway, *["link", "set", "prv", "down"])
    stand.ask(b"lost")
    stand.turn(PUBLIC)
    ip(stand.place.gateway, *["link", "set", "prv", "up"])
    ends = (stand.place.gateway, "prv"), (stand.place.backend, "b0")
    wait_until(lambda: all(shown(*end)["operstate"] == "UP" for end in ends), SECONDS)
    stand.pass_through(b"found")
