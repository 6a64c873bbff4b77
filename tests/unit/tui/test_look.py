"""Looks and what happened between two of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natlb.model import BackendFlows
from natlb.tui.look import MOST_REMEMBERED, History, Pace, take_look
from tests.unit.tui.fake_source import FakeSource

B1 = ("web", "b1")


def history_of(looks: int, source: FakeSource | None = None) -> History:
    """Return what so many looks, two seconds apart, make."""
    history, asked = History(), source or FakeSource()
    for number in range(looks):
        at = 2.0 * number
        history.note(take_look(asked, lambda at=at: at))  # type: ignore[misc] # bound at once
    return history


def test_one_look_knows_no_pace() -> None:
    """The present is a difference."""
    assert history_of(1).paces[B1] == Pace()


def test_two_looks_are_the_present() -> None:
    """A second's share of what was counted between them."""
    pace = history_of(2).paces[B1]

    assert pace.new_flows == 25.0
    assert (pace.bytes_original, pace.bytes_reply) == (1000.0, 2_500_000.0)
    assert pace.handshake == pytest.approx(0.0015)


def test_what_began_anew_has_no_pace_until_the_next_look() -> None:
    """A counter that fell is another instance's."""
    source = FakeSource()
    history = history_of(2, source)
    source.pool[0] = replace(source.pool[0], flows=BackendFlows(current=0, opening=0, total=0))
    source.looks = 0
    history.note(take_look(source, lambda: 4.0))

    assert history.paces[B1] == Pace()


def test_trails_are_bounded_and_end_with_their_backend() -> None:
    """Natlb top runs for days."""
    source = FakeSource()
    history = history_of(MOST_REMEMBERED + 9, source)
    assert len(history.handshakes[B1]) == MOST_REMEMBERED
    source.pool = source.pool[1:]
    history.note(take_look(source, lambda: 1e6))

    assert B1 not in history.handshakes
    assert B1 not in history.paces
