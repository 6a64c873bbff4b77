"""Output straight to the next hop: headers octet by octet, order, and what cannot go so.

Packet sockets are socket pairs here, which take the same messages and ignore their addresses.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from natlb.core.batch import OF_NO_PACKET, Batch, emit, make_batch, start_batch
from natlb.core.layout import DROPPED, FORWARDED, HEADROOM, PRIVATE, PUBLIC, SENT
from natlb.core.memory import Kind, make
from natlb.core.next_hops import ON_LINK
from natlb.core.verdict import FORWARD, PASS
from natlb.io.direct import send_directly
from natlb.io.fallback import send_by_host
from natlb.io.ports import SHUT_4, SHUT_6, Port, PortKind
from natlb.io.queues import DRIVER, PACKET_DRIVER, SHUT, TUN_DRIVER, make_queues
from natlb.io.sending import RUN
from natlb.testing import packets
from natlb.wire.frame import GSO_TCP4
from natlb.wire.reasons import QUEUE_FULL
from tests.kernels import needs_plain_kernels
from tests.paper_hops import Paper
from tests.unit.io.queues import HEADER, FakeQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.core.counters import Counters
    from natlb.io.queues import Queues

needs_plain_kernels()

OURS, THEIRS = "0a0000000001", "0a000000000b"
ETHERNET = bytes.fromhex(THEIRS + OURS + "0800")
VNET = 10


class Stand(NamedTuple):
    """Both ways out of both sides, and a batch to send."""

    queues: Queues
    tuns: list[FakeQueue]
    wires: list[FakeQueue]
    batch: Batch
    counters: Counters
    paper: Paper

    def put(self, *frames: bytes, side: int = PRIVATE, **form: int) -> None:
        """Let packets be a batch's output, each put out for an input packet of its own."""
        start_batch(self.batch, len(frames))
        self.batch.parsed["segments"], self.batch.outcomes[:] = 1, FORWARD
        self.batch.parsed["wire_bytes"] = 100
        for at, packet in enumerate(frames):
            frame = self.batch.frames[at]
            frame["slot"], frame["start"], frame["length"] = at, HEADROOM, len(packet)
            for name, value in form.items():
                frame[name] = value
            octets = memoryview(packet)
            self.batch.slots[at, HEADROOM : HEADROOM + len(packet)] = octets
            self.batch.numbers[3] = at
            emit(self.batch, frame, side)
        self.counters.totals[[FORWARDED, SENT]] = len(frames)

    def send(self) -> None:
        """Send the output."""
        send_directly(self.queues, self.batch, self.counters, self.paper.hops)

    def on_wire(self, side: int = PRIVATE) -> list[bytes]:
        """Return what left by a side's packet socket, from the Ethernet header on."""
        return [packet for _, packet in self.wires[side].left()]

    def by_host(self, side: int = PRIVATE) -> list[bytes]:
        """Return what the host was given."""
        return [packet for _, packet in self.tuns[side].left()]


@pytest.fixture
def stand() -> Iterator[Stand]:
    """Return one whose private side knows 10.77.0.11 alone."""
    tuns, wires = ([FakeQueue(), FakeQueue()] for _ in range(2))
    ports = [each.port(side) for side, each in enumerate(tuns)]
    for side, each in enumerate(wires):
        ports.append(Port(PortKind.OUTPUT, side, each.inner.fileno()))
    paper = Paper()
    paper.link(0, 7, OURS)
    paper.route("10.77.0.0/24", ON_LINK, table=1, mtu=1500)
    paper.neighbour("10.77.0.11", table=1, mac=THEIRS)
    yield Stand(
        make_queues(ports), tuns, wires, make_batch(2 * RUN + 2), make(Kind.COUNTERS), paper
    )
    for each in (*tuns, *wires):
        each.close()


def datagram(number: int = 0, to: str = "10.77.0.11", octets: int = 20) -> bytes:
    """Return a numbered packet to a backend."""
    payload = bytes([number]) * octets
    return packets.udp("198.51.100.7:4000", f"{to}:53", payload=payload)


def test_a_packet_leaves_behind_the_header_of_its_next_hop(stand: Stand) -> None:
    """To the interface that its route names."""
    stand.put(datagram())
    stand.send()

    assert stand.on_wire() == [ETHERNET + datagram()]
    address = stand.queues.sending.addresses[PRIVATE * RUN]
    assert (address["ifindex"], address["protocol"]) == (7, 0x0008)


def test_an_offload_form_counts_from_the_link_header(stand: Stand) -> None:
    """What a segment repeats and where its sum begins are 14 octets further on."""
    packet = packets.tcp("198.51.100.7:4000", "10.77.0.11:80", payload=bytes(4000))
    stand.put(
        packet,
        needs_checksum=1,
        checksum_start=20,
        checksum_offset=16,
        gso_type=GSO_TCP4,
        gso_size=1448,
    )
    stand.batch.parsed[0]["payload"] = 52
    stand.send()
    ((form, frame),) = stand.wires[PRIVATE].left()

    assert form == (1, GSO_TCP4, 66, 1448, 34, 16)
    assert frame == ETHERNET + packet


@pytest.mark.parametrize("to", ["10.77.0.12", "192.0.2.1"])
def test_who_has_no_next_hop_is_reached_by_the_host(stand: Stand, to: str) -> None:
    """It resolves a neighbour, and knows other routes."""
    stand.put(datagram(to=to))
    stand.send()

    assert (stand.on_wire(), stand.by_host()) == ([], [datagram(to=to)])
    assert stand.counters.totals[FORWARDED] == 1


def test_what_does_not_fit_goes_by_host_behind_what_was_before_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is sent first: packets to one destination keep their order."""
    large = datagram(2, octets=1473)
    sent: list[list[bytes]] = []

    def note(*arguments: Any) -> bool:
        sent.append(stand.on_wire())
        return send_by_host(*arguments)

    monkeypatch.setattr("natlb.io.direct.send_by_host", note)
    stand.put(datagram(1), large, datagram(3))
    stand.send()

    assert sent == [[ETHERNET + datagram(1)]]
    assert stand.by_host() == [large]
    assert stand.on_wire() == [ETHERNET + datagram(3)]


def test_a_super_packet_is_judged_by_its_segments(stand: Stand) -> None:
    """Those are what its way has to carry."""
    packet = packets.tcp("198.51.100.7:4000", "10.77.0.11:80", payload=bytes(4000))
    form = {"needs_checksum": 1, "checksum_start": 20, "checksum_offset": 16, "gso_type": 1}
    for gso_size in (1460, 1461):
        stand.put(packet, gso_size=gso_size, **form)
        stand.batch.parsed[0]["payload"] = 40
        stand.send()

    assert [len(stand.on_wire()), len(stand.by_host())] == [1, 1]


def test_more_than_a_run_leaves_in_order(stand: Stand) -> None:
    """In several calls, each side by its own socket."""
    count = RUN + 3
    stand.put(*(datagram(at % 256) for at in range(count)))
    for wire in stand.wires:
        wire.widen()
    stand.send()

    assert [frame[-1] for frame in stand.on_wire()] == [at % 256 for at in range(count)]
    assert stand.on_wire(PUBLIC) == []


def test_what_a_full_socket_does_not_take_is_counted(stand: Stand) -> None:
    """After one look whether it has room again; a packet is lost, not its order."""
    stand.put(*(datagram(at % 256, octets=1200) for at in range(2 * RUN)))
    stand.wires[PRIVATE].narrow()
    stand.send()
    left = len(stand.on_wire())

    assert 0 < left < 2 * RUN
    totals = stand.counters.totals
    assert totals[[FORWARDED, SENT, DROPPED]].tolist() == [left, left, 2 * RUN - left]
    assert stand.counters.drops[QUEUE_FULL] == 2 * RUN - left


def test_what_a_link_refuses_goes_by_host(stand: Stand) -> None:
    """As when it is down, or gone: the host may know another way."""
    stand.wires[PRIVATE].vanish()
    stand.put(datagram(1), datagram(2))
    stand.send()

    assert stand.by_host() == [datagram(1), datagram(2)]
    assert stand.counters.totals[[FORWARDED, DROPPED]].tolist() == [2, 0]


def test_what_nobody_takes_is_counted(stand: Stand) -> None:
    """Neither the link nor the host."""
    stand.wires[PRIVATE].vanish()
    stand.tuns[PRIVATE].vanish()
    stand.put(datagram(1))
    stand.send()

    assert stand.counters.totals[[FORWARDED, DROPPED]].tolist() == [0, 1]


def test_what_natlb_sends_of_its_own_accord_goes_the_same_way(stand: Stand) -> None:
    """A reset of a flush has a destination like any other packet."""
    stand.put(datagram())
    stand.batch.origins[0] = OF_NO_PACKET
    stand.send()

    assert stand.on_wire() == [ETHERNET + datagram()]


@pytest.mark.parametrize("driver", [TUN_DRIVER, PACKET_DRIVER])
def test_what_a_closed_host_did_not_carry_is_not_carried_past_it(stand: Stand, driver: int) -> None:
    """A backend's own packets: by TUN the host's rules refuse them. Flows go on."""
    stand.queues.numbers[SHUT], stand.queues.numbers[DRIVER] = SHUT_4, driver
    stand.put(datagram(1, to="198.51.100.9"), side=PUBLIC)
    stand.batch.outcomes[0] = PASS
    stand.send()
    assert stand.on_wire(PUBLIC) == []
    assert len(stand.by_host(PUBLIC)) == (driver == TUN_DRIVER)

    stand.queues.numbers[DRIVER] = TUN_DRIVER
    stand.put(datagram(2))
    stand.send()
    assert len(stand.on_wire()) == 1
    for shut, origin in ((SHUT_6, 0), (SHUT_4, OF_NO_PACKET)):
        stand.queues.numbers[SHUT] = shut
        stand.put(datagram(3, to="198.51.100.9"), side=PUBLIC)
        stand.batch.outcomes[0], stand.batch.origins[0] = PASS, origin
        stand.send()
        assert len(stand.by_host(PUBLIC)) == 1


def test_the_forms_of_queues_are_those_of_packet_sockets() -> None:
    """Ten octets, as PACKET_VNET_HDR has them."""
    assert struct.calcsize(HEADER) == VNET
