"""The steps of a check."""

from __future__ import annotations

import pytest

from natlb.control.health.steps import ANSWER, CONNECT, RUN, Steps, shown


class Clock:
    """A clock that goes on by a second each time it is read."""

    now = 0.0

    def __call__(self) -> float:
        """Return the next second."""
        self.now += 1.0
        return self.now


def test_each_step_has_its_time_and_what_it_saw() -> None:
    """Where the time went is what one asks of a slow check."""
    steps = Steps(Clock())
    steps.saw("a socket")
    steps.begin(CONNECT)
    steps.begin(ANSWER)
    steps.saw("200 OK")
    latency, phases = steps.finish()

    assert [(each.name, each.milliseconds, each.seen) for each in phases] == [
        ("open", 1000.0, "a socket"),
        ("connect", 1000.0, ""),
        ("answer", 1000.0, "200 OK"),
    ]
    assert latency == 4000.0


def test_a_check_without_a_socket_does_not_open_one() -> None:
    """A program of the operator's own."""
    steps = Steps()
    steps.begin(RUN)

    assert [each.name for each in steps.finish()[1]] == ["run"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"fine\n", "fine"),
        (b"\x1b[2Jgone\r\nx", "·[2Jgone··x"),
        (b"\xff", "\ufffd"),
        ("\u202eright to left", "·right to left"),
        (b"a" * 200, "a" * 120 + "…"),
        ("a" * 120, "a" * 120),
    ],
)
def test_what_a_stranger_said_is_one_short_line_that_prints(
    said: bytes | str, expected: str
) -> None:
    """It goes into logs and onto terminals."""
    assert shown(said) == expected
