from __future__ import annotations

import asyncio

import pytest

from natlb.control.health.stalls import Stalls
from tests.unit.control.health.warped import WarpedLoop, in_warped_time


@in_warped_time
async def test_nothing_is_lost_while_the_loop_runs(loop: WarpedLoop) -> None:
    """However long."""
    stalls = Stalls()
    began = loop.time()
    await asyncio.sleep(3600)

    assert loop.time() - began >= 3600
    assert stalls.lost == 0
    stalls.stop()


@in_warped_time
async def test_time_that_did_not_run_is_lost(loop: WarpedLoop) -> None:
    """At once, and also after the beat has noted it."""
    stalls = Stalls()
    loop.stall(2)

    assert stalls.lost == pytest.approx(2, abs=0.1)
    await asyncio.sleep(10)
    assert stalls.lost == pytest.approx(2, abs=0.1)
    loop.stall(1)
    await asyncio.sleep(10)
    assert stalls.lost == pytest.approx(3, abs=0.2)
    stalls.stop()
