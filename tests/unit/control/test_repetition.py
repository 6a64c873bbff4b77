"""What recurs is counted, what is new is written."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from natlb.control.repetition import ALWAYS, LINES, MOST_LINES, SECONDS, Repetition


class Written:
    """A repetition with a clock in hand, and how many lines it let through."""

    def __init__(self) -> None:
        """Begin at noon."""
        self.now = 0.0
        self.limit = Repetition(lambda: self.now)

    def say(self, times: int, kind: str = "backend_down", **words: Any) -> int:
        """Return how many of so many lines are written."""
        count = 0
        for _ in range(times):
            try:
                self.limit(None, "warning", {"event": kind, "level": "warning", **words})
                count += 1
            except structlog.DropEvent:
                pass
        return count


@pytest.fixture
def written() -> Written:
    """Return a fresh one."""
    return Written()


def test_what_recurs_is_written_a_few_times_and_then_counted(written) -> None:
    """The count is told when its time is over, once."""
    assert written.say(MOST_LINES + 57, service="web", backend="b1", code="L4CON") == MOST_LINES
    assert written.limit.over() == []
    written.now = SECONDS
    words = {"service": "web", "backend": "b1", "similar_suppressed": 57}
    assert written.limit.over() == [("warning", "backend_down", words)]
    assert written.limit.over() == []
    assert written.say(1, service="web", backend="b1") == 1


def test_another_object_is_another_line(written) -> None:
    """A backend that flaps hides no other; a thousand that go down at once are a thousand facts."""
    written.say(100, service="web", backend="b1")

    assert sum(written.say(1, service="web", backend=f"b{number}") for number in range(2, 1002))
    assert written.say(1, "backend_up", service="web", backend="b1") == 1


def test_a_quiet_minute_is_forgotten(written) -> None:
    """And makes no line of its own."""
    written.say(3)
    written.now = SECONDS

    assert written.limit.over() == []
    assert written.say(MOST_LINES) == MOST_LINES


def test_a_count_that_nobody_has_told_yet_is_not_lost(written) -> None:
    """Also where the minute was over before anybody looked."""
    written.say(MOST_LINES + 1)
    written.now = SECONDS + 1

    assert written.say(1) == 0
    assert written.limit.over()[0][2] == {"similar_suppressed": 2}


@pytest.mark.parametrize("kind", sorted(ALWAYS))
def test_what_an_operator_did_is_always_written(written, kind) -> None:
    """Somebody will look for just that one."""
    assert written.say(500, kind) == 500


@pytest.mark.parametrize("kind", LINES)
def test_some_kinds_have_a_limit_of_their_own(written, kind) -> None:
    """By name."""
    assert written.say(500, kind) == LINES[kind]


def test_the_memory_of_lines_is_bounded(written, monkeypatch) -> None:
    """Beyond, what is new is written: a line too many is better than one lost."""
    monkeypatch.setattr("natlb.control.repetition.MOST_KINDS", 2)
    written.say(1, "a")
    written.say(1, "b")

    assert written.say(50, "c") == 50


def test_debug_lines_are_not_counted(written) -> None:
    """Who asks for them wants all."""
    event = {"event": "probe", "level": "debug"}

    assert all(written.limit(None, "debug", dict(event)) == event for _ in range(100))
