from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from natlb.core.batch import NOW
from natlb.core.error_rate import BURST, may_send_error
from natlb.core.layout import ERROR_DEBT, WORKERS
from natlb.core.tables import ERROR_RATE
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests.datapath import VIP, VIP6, assert_counts_agree, engine
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from natlb.engine import Engine

needs_plain_kernels()


def path_at(rate: int) -> Engine:
    """Return an engine that may send so many errors a second."""
    path = engine()
    path._core.tables.numbers.flags.writeable = True
    path._core.tables.numbers[ERROR_RATE] = rate
    return path


def core_at(rate: int) -> Any:
    """Return a core with this rate, at time 0."""
    return path_at(rate)._core


def sent(core: Any, now: int, asked: int) -> int:
    """Return how many of so many errors may be sent at a time in milliseconds."""
    core.batch.numbers[NOW] = now
    return sum(may_send_error(core) for _ in range(asked))


@pytest.mark.parametrize(("rate", "burst"), [(1000, 50), (50, 50), (20, 20), (1, 1)])
def test_a_burst_is_sent_at_once_and_then_the_rate(rate: int, burst: int) -> None:
    """A rate smaller than the burst is all of it; a pause makes up for a burst, not for more."""
    core = core_at(rate)

    assert sent(core, 0, 100) == burst
    assert sent(core, 0, 1) == 0
    assert sent(core, 1000 // rate, 5) == 1
    assert sent(core, 10_000_000, 100) == burst


@pytest.mark.parametrize("rate", [7, 333, 1000])
def test_ten_thousand_a_second_get_the_rate_and_one_burst(rate: int) -> None:
    """However the milliseconds fall (C16)."""
    core = core_at(rate)
    total = sum(sent(core, now, 10) for now in range(3001))

    assert 3 * rate + min(BURST, rate) - 1 <= total <= 3 * rate + min(BURST, rate)


def test_a_clock_that_stands_before_the_last_error_gives_nothing_back() -> None:
    """A table outlives the worker that wrote it."""
    core = core_at(10)
    sent(core, 5000, 10)

    assert sent(core, 4000, 1) == 0


def test_without_a_rate_there_are_none() -> None:
    """And a rate that was lowered is kept at once."""
    core = core_at(100)
    core.tables.numbers[ERROR_RATE] = 0
    assert sent(core, 0, 1) == 0
    core.flows.meta[ERROR_DEBT] = 50_000
    core.tables.numbers[ERROR_RATE] = 10

    assert sent(core, 4100, 1) == 1
    assert core.flows.meta[ERROR_DEBT] == 10_000


@pytest.mark.parametrize(
    "packet",
    [
        packets.tcp("198.51.100.2:40000", f"{VIP}:80", header=Header(ttl=1)),
        packets.udp("[2001:db8:c::2]:40000", f"[{VIP6}]:53", b"?", header=Header(ttl=1)),
        packets.udp("198.51.100.2:40000", f"{VIP}:99"),
        packets.tcp("198.51.100.2:40000", f"{VIP}:99"),
        packets.tcp("[2001:db8:c::2]:40000", f"[{VIP6}]:80", "A"),
    ],
)
def test_errors_and_resets_share_the_rate(packet: bytes) -> None:
    """Over it a packet is dropped, and named so; what has no answer costs nothing (C16)."""
    path = path_at(3)
    reset = packets.tcp("198.51.100.2:40000", f"{VIP}:99", "R")
    assert all(path.process(reset, 0.0).verdict is Verdict.DROP for _ in range(9))
    verdicts = [path.process(packet, 0.0).verdict for _ in range(3)]
    late = path.process(packet, 0.3)

    assert verdicts == [Verdict.REPLY] * 3
    assert (late.verdict, late.reason) == (Verdict.DROP, DropReason.RATE_LIMIT)
    assert path.process(packet, 0.7).verdict is Verdict.REPLY
    assert_counts_agree(path.stats())


def test_echo_has_no_limit() -> None:
    """It is no error."""
    path = path_at(1)
    ping = packets.echo_request("198.51.100.2", VIP)

    assert all(path.process(ping, 0.0).verdict is Verdict.REPLY for _ in range(9))


def test_each_of_several_workers_has_its_share_of_the_rate_and_of_the_burst() -> None:
    """Together they send no more than one would, but for what rounding up gives."""
    core = core_at(1000)
    core.flows.meta[WORKERS] = 4

    assert sent(core, 0, 100) == 13
    assert sum(sent(core, now, 1) for now in range(1, 1001)) == 250
