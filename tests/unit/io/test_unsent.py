"""What is counted of output that nobody took: test_tun.py holds it over whole batches."""

from __future__ import annotations

from natlb.core.batch import emit, emit_spare, make_batch, start_batch
from natlb.core.layout import DROPPED, PRIVATE
from natlb.core.memory import Kind, make
from natlb.io.unsent import NONE_LOST, account_lost, headers_of
from natlb.wire.frame import GSO_TCP4
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_a_super_packet_repeats_its_headers() -> None:
    """A single packet repeats nothing."""
    batch = make_batch(2)
    start_batch(batch, 1)
    batch.parsed[0]["payload"] = 52
    emit(batch, batch.frames[0], PRIVATE)
    seen = [headers_of(batch, 0)]
    batch.output[0]["gso_type"] = GSO_TCP4
    seen.append(headers_of(batch, 0))

    assert seen == [0, 52]


def test_what_natlb_sends_of_its_own_accord_is_nobodys_loss() -> None:
    """A reset of a flush: no packet came for it."""
    batch, counters = make_batch(2), make(Kind.COUNTERS)
    start_batch(batch, 0)
    emit_spare(batch, 2, 40, PRIVATE)

    assert account_lost(batch, counters, 0, NONE_LOST) == NONE_LOST
    assert counters.totals[DROPPED] == 0
