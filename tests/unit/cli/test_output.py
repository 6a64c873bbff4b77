"""Data on its way to standard output."""

from __future__ import annotations

import contextlib
import os
import pty
import sys

import pytest

from natlb.cli import output
from natlb.cli.options import Terms
from natlb.errors import HostError


class Enough(Exception):  # noqa: N818 - the end of a watch, no error
    """Ends an endless repetition."""


def naps(number: int):
    """Return a sleep that lets so many pass and then ends the watch."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == number:
            raise Enough

    return sleep, slept


def test_once_is_once(capsys) -> None:
    """No watch, no sleep."""
    sleep, slept = naps(1)
    output.repeat(lambda: "a", None, Terms(), sleep)

    assert not slept
    assert capsys.readouterr().out == "a\n"


def test_a_watch_prints_again_where_no_terminal_reads(capsys) -> None:
    """A log of it, or JSON Lines."""
    sleep, slept = naps(3)
    with pytest.raises(Enough):
        output.repeat(iter("abc").__next__, 0.5, Terms(json=True), sleep)

    assert capsys.readouterr().out == "a\nb\nc\n"
    assert slept == [0.5, 0.5, 0.5]


def on_a_terminal(monkeypatch, action) -> str:
    """Return what a terminal is sent while `action` runs."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("TERM", "xterm")
        action()
        terminal.flush()
    shown = b""
    with contextlib.suppress(OSError):  # EIO: all was read, and nobody writes any more
        while piece := os.read(leader, 1 << 16):
            shown += piece
    os.close(leader)
    return shown.decode()


def test_a_watch_draws_over_itself_on_a_terminal(monkeypatch) -> None:
    """One picture that changes, not a scroll."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    sleep, _ = naps(2)

    def watch() -> None:
        with pytest.raises(Enough):
            output.repeat(iter(["one\nbe1", "two\nbe2"]).__next__, 1, Terms(), sleep)

    shown = on_a_terminal(monkeypatch, watch)

    assert "one" in shown
    assert "two" in shown
    assert "\x1b[1A" in shown.partition("two")[0]


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_and_for_who_wants_it(monkeypatch, variables, coloured) -> None:
    """NO_COLOR is a convention that natlb keeps."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = on_a_terminal(monkeypatch, lambda: output.say("\x1b[31mred\x1b[0m", Terms()))

    assert ("\x1b[31m" in shown) == coloured


def test_a_pipe_gets_no_colour(capsys) -> None:
    """Programs read it."""
    output.say("\x1b[31mred\x1b[0m", Terms())

    assert capsys.readouterr().out == "red\n"


class Full:
    """An output on a full disk."""

    encoding = "utf-8"

    def write(self, _text: str) -> None:
        """Fail."""
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        """Have nothing to write."""

    def fileno(self) -> int:
        """Be no file."""
        raise OSError

    def isatty(self) -> bool:
        """Be no terminal."""
        return False


def test_what_cannot_be_written_is_an_error_of_the_host(monkeypatch) -> None:
    """Not a bug, and not a success."""
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(HostError, match="No space left"):
        output.say("text", Terms())


def test_no_output_at_all_is_nobody_listening(monkeypatch) -> None:
    """`natlb flows >&-` does its work and says nothing."""
    monkeypatch.setattr(sys, "stdout", None)
    output.copy(lambda _output: pytest.fail("asked for nobody"))
    output.leave_quietly()


def test_words_go_to_standard_error(capsys) -> None:
    """So that data stays data."""
    output.note("done")

    assert capsys.readouterr() == ("", "done\n")
