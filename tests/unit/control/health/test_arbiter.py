from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from natlb.control.health.arbiter import Arbiter, Cause

B1, B2 = ("web", "b1"), ("web", "b2")


def arbiter() -> tuple[Arbiter, list[tuple[str, str]]]:
    """Return an arbiter, and the backends that it says have changed."""
    changed: list[tuple[str, str]] = []
    return Arbiter(changed.append), changed


def test_nothing_is_known_of_who_was_not_looked_at() -> None:
    """It serves like up."""
    judge, _ = arbiter()

    assert judge.health(B1) == "unknown"
    assert judge.passive(B1) is None
    assert judge.cause(B1) == Cause()


def test_either_side_can_take_a_backend_out() -> None:
    """Traffic sooner than the next check."""
    judge, changed = arbiter()
    judge.actively(B1, "up", Cause("L4OK"))
    judge.passively(B1, down=True, why="no answer to 5 openings", until_ms=5000)

    assert judge.health(B1) == "down"
    assert judge.cause(B1) == Cause("PASSIVE", "no answer to 5 openings")
    judge.actively(B1, "down", Cause("L4CON", "connection refused"))
    judge.passively(B1, down=False)
    assert judge.health(B1) == "down"
    assert judge.cause(B1) == Cause("L4CON", "connection refused")
    assert changed == [B1, B1, B1]  # also that it is down for another reason now


def test_what_traffic_says_ends_at_its_time() -> None:
    """It cannot be tried again otherwise: nothing is sent there."""
    judge, changed = arbiter()
    judge.passively(B1, down=True, why="resets", until_ms=5000)
    judge.expire(4999)

    assert judge.health(B1) == "down"
    judge.expire(5000)
    assert judge.health(B1) == "unknown"
    assert changed == [B1, B1]


def test_good_checks_in_a_row_end_it_too() -> None:
    """As many as would make a backend up; those before it do not count."""
    judge, _ = arbiter()
    judge.actively(B1, "up")
    judge.answered(B1, ok=True, rise=2)
    judge.passively(B1, down=True, why="resets", until_ms=5000)
    for ok in (True, False, True):
        judge.answered(B1, ok=ok, rise=2)

        assert judge.health(B1) == "down"
    judge.answered(B1, ok=True, rise=2)
    assert judge.health(B1) == "up"


def test_what_is_said_again_is_no_change() -> None:
    """Each change is a generation."""
    judge, changed = arbiter()
    judge.actively(B1, "up")
    judge.actively(B1, "up")
    judge.passively(B1, down=False)
    judge.passively(B1, down=True, why="x", until_ms=9)
    judge.passively(B1, down=True, why="y", until_ms=19)

    assert changed == [B1, B1]
    assert judge.passive(B1) == "y"


def test_who_is_another_server_now_is_unknown() -> None:
    """And who is gone is not remembered."""
    judge, changed = arbiter()
    judge.actively(B1, "down")
    judge.actively(B2, "down")
    judge.forget(B1)
    judge.forget(B1)
    judge.keep_only([B1])

    assert judge.health(B1) == judge.health(B2) == "unknown"
    assert changed == [B1, B2, B1]


class Sides(RuleBasedStateMachine):
    """Both sides say what they like; the arbiter is held to the table in its docstring."""

    @initialize()
    def begin(self) -> None:
        """Know nothing."""
        self.last: Any = "unknown"
        self.judge = Arbiter(self._note)
        self.active: Any = "unknown"
        self.until: int | None = None
        self.well = self.now = 0
        self.changes = self.noted = 0

    def _note(self, key: tuple[str, str]) -> None:
        assert key == B1
        self.noted += 1

    @rule(health=st.sampled_from(["up", "down", "unknown"]))
    def check(self, health: Any) -> None:
        """Have checks find this; that it is down is told also where traffic has said so."""
        if self.until is not None and health == "down" != self.active:
            self.changes += 1
        self.active = health
        self.judge.actively(B1, health)

    @rule(ok=st.booleans(), rise=st.integers(1, 3))
    def answer(self, *, ok: bool, rise: int) -> None:
        """Have a single check find this."""
        self.well = self.well + 1 if ok else 0
        if self.well >= rise:
            self.until = None
        self.judge.answered(B1, ok=ok, rise=rise)

    @rule(seconds=st.integers(0, 9))
    def accuse(self, seconds: int) -> None:
        """Have traffic speak against the backend."""
        self.until, self.well = self.now + seconds, 0
        self.judge.passively(B1, down=True, why="resets", until_ms=self.until)

    @rule()
    def acquit(self) -> None:
        """Have traffic take it back."""
        self.until = None
        self.judge.passively(B1, down=False)

    @rule(seconds=st.integers(0, 9))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds
        if self.until is not None and self.until <= self.now:
            self.until = None
        self.judge.expire(self.now)

    @invariant()
    def either_side_says_down(self) -> None:
        """And every change is told, once."""
        expected = "down" if self.until is not None else self.active
        self.changes += expected != self.last
        self.last = expected

        assert self.judge.health(B1) == expected
        assert self.noted == self.changes


TestSides = Sides.TestCase
