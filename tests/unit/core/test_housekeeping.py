from __future__ import annotations

from typing import Any

import pytest

from natlb import jit
from natlb.core import housekeeping, lifetime
from natlb.core.housekeeping import keep_pace
from natlb.core.layout import CURRENT
from natlb.core.lifetime import PIECE_EXTRA
from natlb.testing import packets
from tests.datapath import CLIENT, VIP, broken_laws, engine

WEB = f"{VIP}:80"
HOURS = 10_000_000  # milliseconds: by then every flow has run out


def crowded(size: int, rows: int = 0) -> Any:
    """Return an engine with so many clients that call and say no more; `rows` is 0: all of them."""
    path = engine(max_flows=rows or size)
    for port in range(size):
        path.process(packets.tcp(f"{CLIENT}:{1 + port}", WEB), 0.0)
    return path


def test_a_tick_ends_all_that_has_run_out() -> None:
    """The caller moves the clock by hours at once; there is no next piece."""
    path = crowded(1000)
    path.tick(239.9)
    assert path.flows()
    path.tick(240.0)

    assert not path.flows()
    assert path.stats().flows.expired == 1000


def test_a_tick_relieves_the_table_of_all_that_the_pressure_allows() -> None:
    """One great leap of the clock ends the same flows as many small steps to the same time."""
    leaping, stepping = crowded(4000), crowded(4000)
    for second in range(4, 61, 4):
        stepping.tick(second * 1.0)
    leaping.tick(60.0)
    left = [{flow.client for flow in path.flows()} for path in (leaping, stepping)]

    assert left[0] == left[1]
    assert 4000 - 512 < len(left[0]) < 4000
    assert not broken_laws(leaping._flows, leaping._counters)


@pytest.mark.usefixtures("one_by_one")
def test_a_step_sweeps_the_pieces_that_are_due() -> None:
    """As many as the clock says, and no other."""
    path = crowded(400, 1000)

    assert keep_pace(path._core, HOURS, 3) == 0
    assert path._flows.meta[CURRENT] == 400 - 3 * PIECE_EXTRA


@pytest.mark.skipif(jit.COMPILED, reason="a compiled kernel has its numbers in it")
def test_a_step_that_has_done_enough_leaves_the_rest_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many pieces are due after a pause: packets wait behind it."""
    path = crowded(100, 1000)
    monkeypatch.setattr(housekeeping, "MOST_LOOKED_AT", 40)

    assert keep_pace(path._core, 0, 64) == 64 - 3
    assert path._flows.meta[CURRENT] == 100


@pytest.mark.skipif(jit.COMPILED, reason="a compiled kernel has its numbers in it")
def test_a_piece_that_was_cut_short_is_due_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep goes on from there, so that it keeps its pace when many run out together."""
    path = crowded(100, 1000)
    monkeypatch.setattr(housekeeping, "MOST_ENDED", 10)
    monkeypatch.setattr(lifetime, "MOST_ENDED", 10)
    monkeypatch.setattr(housekeeping, "MOST_LOOKED_AT", 1000)

    assert keep_pace(path._core, HOURS, 1) == 1
    assert path._flows.meta[CURRENT] == 80
