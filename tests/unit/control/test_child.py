"""A child as its supervisor sees it, with real ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.control.child import Child, environment_of
from natlb.control.loop import Loop
from natlb.control.messages import Message, Note, Wake
from natlb.control.process import belongs_to

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = """
import sys, select, time
from natlb.control.channel import Channel
from natlb.control.messages import Note, Leave
channel = Channel.from_fd(int(sys.argv[1]))
{body}
"""


class Family:
    """A loop with one child, and what was heard of it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Know where programs go."""
        self.loop = Loop()
        self.heard: list[Message] = []
        self.ended: list[int | None] = []
        self._place = tmp_path
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")

    def start(self, body: str) -> Child:
        """Return a child that runs this."""
        (self._place / "program_of_test.py").write_text(PROGRAM.format(body=body))
        return Child.start(
            self.loop,
            "program_of_test",
            environment_of("token-of-test"),
            receiver=lambda _, message, __: self.heard.append(message),
            mourner=lambda _, status: self.ended.append(status),
        )

    def until(self, what: Callable[[], bool]) -> None:
        """Turn the loop."""
        deadline = self.loop.now() + 20
        while not what():
            assert self.loop.now() < deadline
            self.loop.step(0.1)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """Return a family without a child."""
    return Family(tmp_path, monkeypatch)


def test_last_words_are_heard_before_the_end_is_told(family: Family) -> None:
    """Why a child gives up is said just before it does."""
    family.start("for n in range(5): channel.send(Note(text=str(n)))\nsys.exit(65)")
    family.until(lambda: bool(family.ended))

    assert [message.text for message in family.heard if isinstance(message, Note)] == list("01234")
    assert family.ended == [65]


def test_a_killed_child_ends_by_its_signal(family: Family) -> None:
    """The pidfd says it, whatever the child was doing."""
    child = family.start("time.sleep(60)")
    family.until(lambda: belongs_to(child.pid, "token-of-test"))  # once the kernel has its words
    child.kill()
    family.until(lambda: bool(family.ended))

    assert family.ended == [-signal.SIGKILL]


def test_a_child_that_does_not_read_is_ended(family: Family) -> None:
    """It hangs; the supervisor must not."""
    child = family.start("time.sleep(60)")
    for _ in range(5000):
        child.send(Wake())
    family.until(lambda: bool(family.ended))

    assert family.ended == [-signal.SIGKILL]


def test_saying_something_to_the_dead_is_nothing(family: Family) -> None:
    """The pidfd tells of the death next."""
    child = family.start("sys.exit(0)")
    child.process.ended(20)
    child.send(Wake())
    family.until(lambda: bool(family.ended))

    assert family.ended == [0]


def test_a_child_that_talks_nonsense_is_reported_a_few_times(
    family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flood of refused messages is no flood of lines."""
    family.start("for _ in range(100): channel.end.send(b'nonsense')\nsys.exit(0)")
    family.until(lambda: bool(family.ended))
    said = capsys.readouterr()

    assert (said.out + said.err).count("message_refused") == 7  # 1 2 4 8 16 32 64
    assert family.heard == []


def test_a_child_that_closes_its_end_is_not_listened_to_in_a_spin(family: Family) -> None:
    """Its end is told by the pidfd."""
    child = family.start("channel.close(); time.sleep(60)")
    before = os.times().user
    for _ in range(5):
        family.loop.step(0.1)

    assert os.times().user - before < 0.3
    child.kill()
    family.until(lambda: bool(family.ended))


def test_waiting_for_an_end_enforces_it(family: Family) -> None:
    """A child that ignores `Leave` ends all the same."""
    child = family.start("time.sleep(60)")
    child.leave()
    child.await_end(0.05)

    assert child.process.child is not None
    assert child.process.child.returncode == -signal.SIGKILL
    assert family.ended == []
