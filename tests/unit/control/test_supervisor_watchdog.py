"""Who is asked, and who is ended: children that are values, and a clock that is a number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from natlb.control.messages import Alive, Ask, Message
from natlb.control.pulse import Usage
from natlb.control.supervisor_watchdog import SECONDS_A_LOOK, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeChild:
    """Counts what it is asked."""

    def __init__(self, pid: int) -> None:
        """Live."""
        self.pid = pid
        self.asked = 0
        self.killed = False

    def send(self, message: Message) -> None:
        """Take a question."""
        assert message == Ask()
        self.asked += 1

    def kill(self) -> None:
        """Be ended."""
        self.killed = True


class World:
    """A supervisor of four, of whom those in `deaf` do not answer."""

    def __init__(self) -> None:
        """Have everybody answer."""
        self.time = 0.0
        self.at_lesson = False
        self.deaf: set[FakeChild] = set()
        self.action: Callable[[], None] = lambda: None
        self.worker, self.control, self.nursery, self.keeper = map(FakeChild, range(1, 5))
        supervisor: Any = SimpleNamespace(
            loop=SimpleNamespace(now=lambda: self.time, after=self._after),
            workers=SimpleNamespace(living=[self.worker], nursery=self.nursery),
            control=SimpleNamespace(child=self.control, tell=lambda *_: None),
            keeper=SimpleNamespace(child=self.keeper),
            programs=SimpleNamespace(is_at_lesson=lambda _: self.at_lesson),
        )
        self.watchdog = Watchdog(supervisor, lambda _: Usage())
        self.watchdog.begin()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        assert seconds == SECONDS_A_LOOK
        self.action = action

    def pass_by(self, seconds: float) -> None:
        """Let time go on, and have each who hears a question answer it."""
        for _ in range(round(seconds / SECONDS_A_LOOK)):
            self.time += SECONDS_A_LOOK
            self.action()
            for child in (self.worker, self.control, self.nursery, self.keeper):
                if child not in self.deaf:
                    self.watchdog.answered(cast("Any", child), Alive(patience_ms=0))


@pytest.mark.parametrize(
    ("name", "seconds"), [("worker", 2.75), ("control", 6), ("nursery", 31), ("keeper", 11)]
)
def test_whoever_is_deaf_is_ended_and_nobody_else(name: str, seconds: float) -> None:
    """A worker within three seconds."""
    world = World()
    deaf: FakeChild = getattr(world, name)
    world.pass_by(5)
    world.deaf.add(deaf)
    world.pass_by(seconds)
    everybody = (world.worker, world.control, world.nursery, world.keeper)

    assert [child.killed for child in everybody] == [child is deaf for child in everybody]


def test_those_who_answer_live_for_ever() -> None:
    """And are asked at each look."""
    world = World()
    world.pass_by(100)

    assert world.worker.asked == 100 / SECONDS_A_LOOK
    assert not world.worker.killed


def test_one_that_said_that_it_is_busy_is_left_in_peace_for_so_long() -> None:
    """Then it hangs like any other."""
    world = World()
    world.pass_by(1)
    world.watchdog.answered(cast("Any", world.worker), Alive(patience_ms=60_000))
    world.deaf.add(world.worker)
    world.pass_by(59)
    assert not world.worker.killed
    world.pass_by(3)

    assert world.worker.killed


def test_a_nursery_at_a_lesson_is_not_asked() -> None:
    """A policy of the user's has a time of its own."""
    world = World()
    world.at_lesson = True
    world.deaf.add(world.nursery)
    world.pass_by(100)

    assert world.nursery.asked == 0
    assert not world.nursery.killed
