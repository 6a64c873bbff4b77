"""AF_XDP rings from the worker's end: what comes in, what goes out, and that no frame is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from natlb.core.batch import COUNT_IN, Batch, emit, make_batch, start_batch
from natlb.core.layout import DROPPED, FORWARDED, HEADROOM, PRIVATE, PUBLIC, SENT
from natlb.core.memory import Kind, make
from natlb.core.next_hops import ON_LINK
from natlb.core.verdict import FORWARD
from natlb.io import xdp
from natlb.io.direct import send_directly
from natlb.io.errno import EAGAIN, ENETDOWN
from natlb.io.path import may_be_more, read_batch
from natlb.io.ports import Port, PortKind
from natlb.io.queues import make_queues
from natlb.io.rings import (
    COMPLETION,
    CONSUMER,
    FILL,
    PRODUCER,
    RECEIVE,
    SEND,
    WORD,
    make_rings,
    set_count,
)
from natlb.io.xsk_shape import FRAME_OCTETS, RECEIVE_FRAMES, SEND_FRAMES, UMEM_OCTETS
from natlb.testing import packets
from natlb.wire.frame import GSO_TCP4
from natlb.wire.reasons import QUEUE_FULL
from tests.kernels import needs_plain_kernels
from tests.paper_hops import Paper
from tests.unit.io.queues import FakeQueue
from tests.unit.io.xsks import OURS, THEIRS, FakeXsk, install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.core.counters import Counters
    from natlb.io.queues import Queues

needs_plain_kernels()

PACKET = packets.udp("198.51.100.7:4000", "10.77.0.11:53", payload=b"what?")
TO_BACKEND = bytes.fromhex(THEIRS + OURS)
IP4, IP6, TAGGED = b"\x08\x00", b"\x86\xdd", bytes.fromhex("810060640800")
TAG = TAGGED[:4]


class Stand(NamedTuple):
    """A socket of each side, a packet socket and the host beside them, and a batch."""

    queues: Queues
    xsks: list[FakeXsk]
    wire: FakeQueue
    host: FakeQueue
    batch: Batch
    counters: Counters
    paper: Paper
    pushes: list[int]  # fds that the kernel was told of, in order

    def read(self) -> list[bytes]:
        """Read a batch, and return its packets."""
        self.queues.ready[:] = 1
        count = read_batch(self.queues, self.batch, self.paper.hops)
        assert count == self.batch.numbers[COUNT_IN]
        return [self.packet(at) for at in range(count)]

    def packet(self, at: int) -> bytes:
        """Return an input packet."""
        frame = self.batch.frames[at]
        start = frame["start"]
        return self.batch.slots[frame["slot"], start : start + frame["length"]].tobytes()

    def put(self, *frames: bytes, **form: int) -> None:
        """Send packets to the private side, each put out for an input packet of its own."""
        batch = self.batch
        start_batch(batch, len(frames))
        batch.parsed["segments"], batch.outcomes[:] = 1, FORWARD
        batch.parsed["wire_bytes"] = 100
        for at, packet in enumerate(frames):
            frame = batch.frames[at]
            frame["slot"], frame["start"], frame["length"] = at, HEADROOM, len(packet)
            for name, value in form.items():
                frame[name] = value
            batch.slots[at, HEADROOM : HEADROOM + len(packet)] = memoryview(packet)
            batch.numbers[3] = at
            emit(batch, frame, PRIVATE)
        self.counters.totals[[FORWARDED, SENT]] = len(frames)
        send_directly(self.queues, batch, self.counters, self.paper.hops)

    def turn(self) -> None:
        """Read what waits, and send a packet."""
        self.read()
        self.put(PACKET)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Return one whose private side knows 10.77.0.11 by its socket, 10.78.0.11 by another link."""
    install(monkeypatch)
    xsks, wire, host = [FakeXsk(PUBLIC, 7), FakeXsk(PRIVATE, 8)], FakeQueue(), FakeQueue()
    ports = [each.port for each in xsks]
    ports.append(Port(PortKind.OUTPUT, PRIVATE, wire.inner.fileno()))
    ports.append(Port(PortKind.HOST, PRIVATE, host.inner.fileno(), number=4))
    paper = Paper()
    for at, (ifindex, network) in enumerate(((8, "10.77.0"), (9, "10.78.0"))):
        paper.link(at, ifindex, OURS)
        paper.route(f"{network}.0/24", ON_LINK, table=1, link=at, mtu=1500)
        paper.neighbour(f"{network}.11", table=1, link=at, mac=THEIRS)
    pushes: list[int] = []

    def sendto(fd: int, *_: int) -> int:
        pushes.append(fd)
        return 0

    monkeypatch.setattr(xdp, "sendto", sendto)
    counters = make(Kind.COUNTERS)
    yield Stand(make_queues(ports), xsks, wire, host, make_batch(8), counters, paper, pushes)
    for xsk in xsks:
        xsk.close()
    for each in (wire, host):
        each.close()


def to_other_link() -> bytes:
    """Return a packet that leaves by an interface without a socket."""
    return packets.udp("198.51.100.7:4000", "10.78.0.11:53", payload=b"what?")


def test_packets_come_in_from_both_sides(stand: Stand) -> None:
    """Each single and whole, with its side, an equal share of each."""
    for packet in (PACKET, PACKET + b"1"):
        stand.xsks[PUBLIC].arrive(packet)
    stand.xsks[PRIVATE].arrive(PACKET + b"2", "86dd")

    assert stand.read() == [PACKET, PACKET + b"1", PACKET + b"2"]
    assert stand.batch.frames["way"][:3].tolist() == [PUBLIC, PUBLIC, PRIVATE]
    assert not stand.batch.frames["needs_checksum"].any()
    assert stand.read() == []
    assert not may_be_more(stand.queues)


def test_no_side_fills_a_batch_alone(stand: Stand) -> None:
    """What is left over is known to be there; a batch of one packet is still shared in turn."""
    for number in range(5):
        stand.xsks[PRIVATE].arrive(PACKET + bytes([number]))

    assert len(stand.read()) == 4
    assert stand.queues.ready.tolist() == [0, 1]
    assert stand.read() == [PACKET + b"\4"]


def test_a_batch_has_no_more_packets_than_it_can_hold(stand: Stand) -> None:
    """A side whose share does not fit any more has its turn in the next one."""
    stand = stand._replace(batch=make_batch(1))
    for each in stand.xsks:
        each.arrive(PACKET)
    seen = [stand.read(), [stand.queues.ready.tolist()]]
    stand.queues.ready[PUBLIC] = 0
    count = read_batch(stand.queues, stand.batch, stand.paper.hops)

    assert seen == [[PACKET], [[0, 1]]]
    assert (count, stand.batch.frames[0]["way"]) == (1, PRIVATE)


@pytest.mark.parametrize("frame", [TAGGED[:4] + b"\x08\x06" + PACKET, b"\x88\xcc" + PACKET, IP4])
def test_what_is_no_ip_is_no_part_of_the_batch(stand: Stand, frame: bytes) -> None:
    """What came behind it is; and so are octets that hold no packet."""
    stand.xsks[PUBLIC].receive(TO_BACKEND + frame)
    stand.xsks[PUBLIC].arrive(PACKET)

    assert stand.read() == [PACKET]
    assert stand.batch.frames[0]["slot"] == 1


def test_an_entry_that_points_outside_the_frames_is_none(stand: Stand) -> None:
    """Nothing is copied, whatever it says."""
    xsk = stand.xsks[PUBLIC]
    for place, octets in ((UMEM_OCTETS - 20, 60), (256, FRAME_OCTETS + 1), (-4096, 60)):
        xsk.arrive(PACKET)
        at = xsk.count(RECEIVE, PRODUCER) - 1
        xsk.entry(RECEIVE, at, 2)[:] = place, octets

    assert stand.read() == []


def test_every_frame_comes_back_to_the_kernel(stand: Stand) -> None:
    """However often all of them went round, and also when the counts begin anew."""
    xsk = stand.xsks[PUBLIC]
    for ring, place in ((FILL, PRODUCER), (RECEIVE, PRODUCER), (RECEIVE, CONSUMER)):
        xsk.set(ring, place, (xsk.count(ring, place) - RECEIVE_FRAMES) & WORD)
    xsk.set(FILL, CONSUMER, -RECEIVE_FRAMES)
    for number in range(RECEIVE_FRAMES + 2):
        xsk.arrive(PACKET + number.to_bytes(2))
        assert stand.read() == [PACKET + number.to_bytes(2)]
    held = {int(xsk.entry(FILL, number)[0]) for number in range(RECEIVE_FRAMES)}

    assert xsk.count(FILL, PRODUCER) == RECEIVE_FRAMES + 2
    assert held == set(range(0, UMEM_OCTETS // 2, FRAME_OCTETS))


def test_a_tag_in_a_frame_goes_out_with_the_packet(stand: Stand) -> None:
    """A provider's as well; the packet begins behind it."""
    for tag in ("8100", "88a8"):
        stand.xsks[PUBLIC].arrive(bytes.fromhex("6064") + IP4 + PACKET, tag)
    read = stand.read()
    for at in range(2):
        stand.batch.numbers[3] = at
        emit(stand.batch, stand.batch.frames[at], PRIVATE)
    send_directly(stand.queues, stand.batch, stand.counters, stand.paper.hops)

    assert read == [PACKET, PACKET]
    assert stand.xsks[PRIVATE].send() == [
        TO_BACKEND + TAGGED + PACKET,
        TO_BACKEND + bytes.fromhex("88a860640800") + PACKET,
    ]


def test_packets_go_out_behind_the_header_of_their_next_hop(stand: Stand) -> None:
    """In their order; the kernel is told once where it asks to be, and else not at all."""
    stand.put(PACKET, PACKET + b"1")
    stand.xsks[PRIVATE].wake(wanted=True)
    sent = stand.xsks[PRIVATE].send()
    assert sent == [TO_BACKEND + IP4 + PACKET, TO_BACKEND + IP4 + PACKET + b"1"]
    assert stand.pushes == []
    stand.put(PACKET)

    assert set(stand.pushes) == {stand.xsks[PRIVATE].fd}
    assert len(stand.pushes) <= xdp.MOST_PUSHES


def test_a_checksum_that_was_left_to_a_device_is_finished(stand: Stand) -> None:
    """A frame of a ring cannot say that it needs one."""
    raw = bytearray(PACKET)
    raw[26:28] = bytes(2)
    stand.put(bytes(raw), needs_checksum=1, checksum_start=20, checksum_offset=6)
    (sent,) = stand.xsks[PRIVATE].send()

    assert sent[14 + 26 : 14 + 28] != bytes(2)


def test_what_a_ring_cannot_carry_leaves_by_a_packet_socket(stand: Stand) -> None:
    """A super-packet, what is larger than a frame, and what another interface is for."""
    stand.paper.hops.routes["mtu"] = 9000
    stand.put(bytes(PACKET) + bytes(5000))
    stand.put(packets.tcp("198.51.100.7:1", "10.77.0.11:2", payload=bytes(4000)),
              gso_type=GSO_TCP4, gso_size=1400, needs_checksum=1, checksum_start=20)  # fmt: skip
    stand.put(to_other_link())

    assert stand.xsks[PRIVATE].send() == []
    assert len(stand.wire.left()) == 3


def test_what_does_not_fit_its_way_is_the_hosts_after_what_came_before(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is told of the rings first."""
    order: list[str] = []
    xsk = stand.xsks[PRIVATE]

    def sendto(fd: int, *_: int) -> int:
        order.append(f"ring {len(xsk.send())}")
        return int(fd < 0)

    monkeypatch.setattr(xdp, "sendto", sendto)
    xsk.wake(wanted=True)
    stand.put(PACKET, PACKET + bytes(2000))

    assert order == ["ring 1"]
    stand.host.drain()


def test_a_ring_that_stays_full_loses_packets_and_counts_them(stand: Stand) -> None:
    """Once there is room again, frames go round."""
    xsk = stand.xsks[PRIVATE]
    for _ in range(SEND_FRAMES // 8):
        stand.put(*[PACKET] * 8)
    stand.put(PACKET, PACKET)
    totals = stand.counters.totals
    assert (totals[DROPPED], stand.counters.drops[QUEUE_FULL]) == (2, 2)
    assert len(xsk.send(3)) == 3
    stand.put(*[PACKET + bytes([number]) for number in range(4)])
    rest = xsk.send()

    assert totals[DROPPED] == 3
    assert rest[-3:] == [TO_BACKEND + IP4 + PACKET + bytes([number]) for number in range(3)]
    assert len(rest) == SEND_FRAMES


def test_a_full_ring_is_pushed_before_a_packet_is_lost(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In copy mode the kernel sends within the call, a few at a time."""
    xsk = stand.xsks[PRIVATE]
    for _ in range(SEND_FRAMES // 8):
        stand.put(*[PACKET] * 8)

    def sendto(fd: int, *_: int) -> int:
        assert fd == xsk.fd
        xsk.send(32)
        stand.queues.sending.error[0] = EAGAIN
        return -1

    monkeypatch.setattr(xdp, "sendto", sendto)
    monkeypatch.setattr(xdp, "last_error", lambda word: int(word[0]))
    xsk.wake(wanted=True)
    stand.put(PACKET)

    assert stand.counters.totals[DROPPED] == 0
    assert xsk.count(SEND, CONSUMER) == xsk.count(SEND, PRODUCER) == SEND_FRAMES + 1


def test_a_link_that_is_down_is_told_once(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the ring stays there; poll() tells the kernel again."""
    calls: list[int] = []

    def sendto(fd: int, *_: int) -> int:
        calls.append(fd)
        return -1

    monkeypatch.setattr(xdp, "sendto", sendto)
    monkeypatch.setattr(xdp, "last_error", lambda _: ENETDOWN)
    stand.xsks[PRIVATE].wake(wanted=True)
    stand.put(PACKET)

    assert calls == [stand.xsks[PRIVATE].fd]


def frames_of(xsk: FakeXsk) -> list[int]:
    """Return every frame for sending that lies in a ring."""
    held = []
    for ring, wide in ((SEND, 2), (COMPLETION, 1)):
        counts = range(xsk.count(ring, CONSUMER), xsk.count(ring, PRODUCER))
        held += [int(xsk.entry(ring, number, wide)[0]) for number in counts]
    return sorted(held)


@pytest.mark.parametrize("killed_at", range(1, 5))
def test_a_worker_killed_at_any_store_loses_no_frame_and_doubles_none(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """Packets in hand are lost; the next worker maps the rings and goes on."""
    into, out = stand.xsks
    for _ in range(SEND_FRAMES // 8):
        stand.put(*[PACKET] * 8)
    out.send()
    for _ in range(3):
        into.arrive(PACKET)
    left = killed_at

    def dying(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        set_count(*arguments)

    monkeypatch.setattr(xdp, "set_count", dying)
    with pytest.raises(KeyboardInterrupt):
        stand.turn()
    monkeypatch.setattr(xdp, "set_count", set_count)
    make_rings([each.port for each in stand.xsks])
    stand.turn()

    assert into.count(FILL, PRODUCER) - into.count(RECEIVE, CONSUMER) == RECEIVE_FRAMES
    given = range(into.count(FILL, CONSUMER), into.count(FILL, PRODUCER))
    assert len({int(into.entry(FILL, number)[0]) for number in given}) == RECEIVE_FRAMES
    assert frames_of(out) == list(range(UMEM_OCTETS // 2, UMEM_OCTETS, FRAME_OCTETS))
