"""One way in and out for every driver, and what `poll()` says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.core.batch import COUNT_IN, emit, make_batch
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.memory import Kind, make
from natlb.io.loop import no_hops
from natlb.io.path import IDLE, LOST, READY, WOKEN, may_be_more, read_batch, wait, write_batch
from natlb.io.queues import make_queues
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from natlb.io.queues import Queues
    from tests.unit.io.queues import FakeQueue, Wake

needs_plain_kernels()


@pytest.fixture
def queues(public: FakeQueue, private: FakeQueue, wake: Wake) -> Queues:
    """Return both queues as the loop has them."""
    made = make_queues([public.port(PUBLIC), private.port(PRIVATE)])
    made.polled[2]["fd"] = wake.fd
    return made


def test_a_batch_goes_in_and_out_by_tun(
    queues: Queues, public: FakeQueue, private: FakeQueue
) -> None:
    """Where there is nothing but TUN queues, output is by route."""
    batch = make_batch(4)
    public.arrive(b"a packet of 16..")
    assert read_batch(queues, batch, no_hops()) == batch.numbers[COUNT_IN] == 1
    emit(batch, batch.frames[0], PRIVATE)
    write_batch(queues, batch, make(Kind.COUNTERS), no_hops())

    assert [packet for _, packet in private.left()] == [b"a packet of 16.."]


def test_waiting_says_what_for(
    queues: Queues, public: FakeQueue, private: FakeQueue, wake: Wake
) -> None:
    """Nothing, a packet, a call (which comes first), a device that is gone."""
    seen = [wait(queues, 0)]
    public.arrive(b"x")
    seen.append(wait(queues, 0))
    private.vanish()
    seen.append(wait(queues, 0))
    wake.call()
    seen.append(wait(queues, 0))

    assert seen == [IDLE, READY, LOST, WOKEN]


def test_a_way_in_that_was_read_empty_is_not_one_that_may_hold_more(queues: Queues) -> None:
    """At first each may."""
    seen = [may_be_more(queues)]
    queues.ready[:] = (0, 1)
    seen.append(may_be_more(queues))
    queues.ready[:] = 0
    seen.append(may_be_more(queues))

    assert seen == [True, True, False]
