"""What is waited for beside the screen; the screens themselves are in test_app."""

from __future__ import annotations

import asyncio
import threading

import pytest

from natlb.errors import UnavailableError
from natlb.model import FlowFilter
from natlb.tui.screens import _cells, in_thread
from tests.unit.tui.fake_source import FakeSource


def test_work_in_a_thread_answers_or_raises() -> None:
    """Where it is waited for."""

    def fail() -> None:
        raise UnavailableError("gone")

    async def live() -> int:
        with pytest.raises(UnavailableError, match="gone"):
            await in_thread(fail)
        return await in_thread(lambda: 7)

    assert asyncio.run(live()) == 7


def test_nobody_waits_for_work_whose_answer_is_not_wanted() -> None:
    """Leaving with `q` does not last as long as the API does; a late answer disturbs nobody."""
    gate, done = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(60)
        done.set()

    async def live() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(work), 0.01)

    asyncio.run(live())
    assert not done.is_set()
    gate.set()
    assert done.wait(60)


def test_a_flow_is_a_line() -> None:
    """Packets and bytes as original/reply."""
    (flow,) = FakeSource().flows(FlowFilter(service="web", backend="b1"), 1)

    assert _cells(flow) == (
        *("TCP", "established", "198.51.100.2:40000", "203.0.113.10:80", "10.77.0.11:8080"),
        *("1s", "0s", "4/3", "412/640"),
    )
