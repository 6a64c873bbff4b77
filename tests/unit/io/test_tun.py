"""Batches in and out of TUN queues, by route, and what cannot be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.core.batch import (
    COUNT_IN,
    TRACKED_SO_FAR,
    emit,
    emit_piece,
    emit_spare,
    make_batch,
    start_batch,
)
from natlb.core.layout import (
    BYTES_FORWARDED,
    DROPPED,
    FORWARDED,
    HEADROOM,
    PRIVATE,
    PUBLIC,
    SENT,
)
from natlb.core.memory import Kind, make
from natlb.core.verdict import FORWARD
from natlb.io import tun
from natlb.io.path import READY, may_be_more, wait
from natlb.io.queues import make_queues
from natlb.io.tun import read_tuns, write_tuns
from natlb.wire.reasons import QUEUE_FULL
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from natlb.io.queues import Queues
    from tests.unit.io.queues import FakeQueue, Wake

needs_plain_kernels()

SUPER_PACKET = (1, 1, 40, 1448, 20, 16)


@pytest.fixture
def queues(public: FakeQueue, private: FakeQueue, wake: Wake) -> Queues:
    """Return both queues as the loop has them."""
    made = make_queues([public.port(PUBLIC), private.port(PRIVATE)])
    made.polled[2]["fd"] = wake.fd
    return made


def test_a_packet_is_read_with_its_side_and_its_offload_form(
    queues: Queues, public: FakeQueue, private: FakeQueue
) -> None:
    """The header before it is taken off; what it says stands in the frame."""
    batch = make_batch(4)
    public.arrive(b"from outside", SUPER_PACKET)
    private.arrive(b"from inside")
    count = read_tuns(queues, batch)

    first, second = batch.frames[:2]
    assert (count, batch.numbers[COUNT_IN]) == (2, 2)
    assert (first["way"], second["way"]) == (PUBLIC, PRIVATE)
    assert batch.slots[0, HEADROOM : HEADROOM + 12].tobytes() == b"from outside"
    assert (first["gso_size"], first["checksum_start"], first["checksum_offset"]) == (1448, 20, 16)
    assert (first["needs_checksum"], second["needs_checksum"], second["length"]) == (1, 0, 11)


def test_neither_side_can_fill_a_batch_alone(queues: Queues, public: FakeQueue) -> None:
    """A flood from outside leaves room for what backends answer."""
    for number in range(6):
        public.arrive(bytes([number]) * 40)

    assert [read_tuns(queues, make_batch(8)) for _ in range(3)] == [4, 2, 0]


def test_a_batch_holds_no_more_super_packets_than_a_cache_does(
    queues: Queues, public: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of 600 octets pass a bound of 2,500, so the sixth waits for the next batch."""
    monkeypatch.setattr(tun, "MOST_OCTETS", 2500)
    for _ in range(6):
        public.arrive(bytes(600))

    assert [read_tuns(queues, make_batch(64)) for _ in range(2)] == [5, 1]


def test_an_empty_queue_is_not_read_again_before_poll_says_so(
    queues: Queues, public: FakeQueue
) -> None:
    """A system call for nothing is what low load is made of."""
    batch = make_batch(4)
    assert read_tuns(queues, batch) == 0
    assert not may_be_more(queues)
    public.arrive(b"late")

    assert read_tuns(queues, batch) == 0
    assert wait(queues, 0) == READY
    assert read_tuns(queues, batch) == 1


def test_what_is_too_short_for_a_packet_is_none(queues: Queues, public: FakeQueue) -> None:
    """A header alone has nothing behind it to parse."""
    public.arrive(b"")

    assert read_tuns(queues, make_batch(4)) == 0


def test_output_leaves_by_its_way_with_its_form(
    queues: Queues, public: FakeQueue, private: FakeQueue
) -> None:
    """A super-packet's header tells the kernel how long what each segment repeats is."""
    batch, counters = make_batch(4), make(Kind.COUNTERS)
    public.arrive(b"a packet of 16..", SUPER_PACKET)
    read_tuns(queues, batch)
    batch.parsed[0]["payload"] = 52
    emit(batch, batch.frames[0], PRIVATE)
    write_tuns(queues, batch, counters)

    assert private.left() == [((1, 1, 52, 1448, 20, 16), b"a packet of 16..")]
    assert public.left() == []


def test_what_cannot_be_written_is_counted_as_dropped(
    queues: Queues, public: FakeQueue, private: FakeQueue
) -> None:
    """A link that is down: the packet was forwarded on paper only, and the sum still holds."""
    batch, counters = make_batch(4), make(Kind.COUNTERS)
    public.arrive(b"a packet")
    read_tuns(queues, batch)
    batch.parsed[0]["segments"] = 1
    batch.outcomes[0] = FORWARD
    counters.totals[[FORWARDED, SENT]] = 1
    emit(batch, batch.frames[0], PRIVATE)
    private.vanish()
    write_tuns(queues, batch, counters)

    assert counters.totals[[FORWARDED, SENT, DROPPED]].tolist() == [0, 0, 1]
    assert counters.drops[QUEUE_FULL] == 1


def test_a_packet_of_which_pieces_are_lost_is_dropped_once(
    queues: Queues, public: FakeQueue, private: FakeQueue
) -> None:
    """What natlb sends of its own accord was no packet of anybody's, and is counted by none."""
    batch, counters = make_batch(4), make(Kind.COUNTERS)
    start_batch(batch, 2)
    batch.parsed["segments"] = 1
    batch.outcomes[:2] = FORWARD
    counters.totals[[FORWARDED, SENT, BYTES_FORWARDED]] = 3, 5, 3600
    for origin, octets in ((0, 1500), (0, 0), (0, 0), (1, 1500), (1, 600)):
        batch.numbers[TRACKED_SO_FAR] = origin
        emit_piece(batch, 5, HEADROOM, 40, PRIVATE, octets)
    emit_spare(batch, 5, 40, PRIVATE)
    batch.numbers[TRACKED_SO_FAR] = 0
    emit_piece(batch, 5, HEADROOM, 40, PUBLIC, 0)
    private.vanish()
    write_tuns(queues, batch, counters)

    assert counters.totals[[FORWARDED, SENT, BYTES_FORWARDED]].tolist() == [0, 0, 0]
    assert counters.drops[QUEUE_FULL] == counters.totals[DROPPED] == 3
    assert len(public.left()) == 1


def test_a_batch_of_nothing_writes_nothing(queues: Queues, private: FakeQueue) -> None:
    """The output of the batch before is not sent twice."""
    batch = make_batch(4)
    start_batch(batch, 0)
    write_tuns(queues, batch, make(Kind.COUNTERS))

    assert private.left() == []
