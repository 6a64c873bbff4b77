"""`drain --wait`, over a client that answers from a list and a clock that sleeping moves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from natlb.cli import draining
from natlb.cli.draining import Draining
from natlb.cli.options import BackendName
from natlb.errors import UnavailableError, UnknownNameError
from natlb.model import Backend, BackendFlows, FlowFilter, Flush, PerDirection

BACKEND = Backend(
    service="web",
    name="b1",
    address="10.77.0.11:8080",
    weight=1,
    effective_weight=0,
    backup=False,
    state="draining",
    health="up",
    flows=BackendFlows(current=3, opening=0, total=7),
    packets=PerDirection(),
    bytes=PerDirection(),
)


class Scene:
    """A client, its answers in order, and the time; the terms of a command as well."""

    json = False
    colour = None

    def __init__(self, *answers: Any) -> None:
        """Answer each look by a number of flows, a backend, None for no backend, or an error."""
        self.client = self
        self.now = 100.0
        self.slept: list[float] = []
        self.asked: list[object] = []
        self.closing: int | UnavailableError = 0
        self._answers = list(answers)

    def set_backend(self, service: str, name: str, *, state: str) -> Backend:
        """Have it drain."""
        self.asked.append((service, name, state))
        (first,) = self.backends(service)
        return first

    def backends(self, _service: str) -> list[Backend]:
        """Return the next answer, the last one for ever."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, int):
            answer = replace(BACKEND, flows=BackendFlows(current=answer, opening=0, total=7))
        return [] if answer is None else [answer]

    def flush(self, wanted: FlowFilter, *, reset: bool = False, dry_run: bool = False) -> Flush:
        """Reset what is left, or count what is over."""
        if dry_run:
            assert wanted == FlowFilter(service="web", backend="b1", state="closing")
            if isinstance(self.closing, UnavailableError):
                raise self.closing
            return Flush(flushed=self.closing, resets=0)
        self.asked.append((wanted, reset))
        return Flush(flushed=2, resets=4)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds > 0, "a wait without rest"
        self.slept.append(seconds)
        self.now += seconds

    def run(self, deadline: float | None = None) -> int:
        """Return the exit code."""
        wait = Draining(
            self,  # type: ignore[arg-type] # it is all that is asked of terms
            BackendName("web", "b1"),
            deadline,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        return wait.run()


def test_who_has_no_flow_left_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """A look a second, each a line in a pipe."""
    scene = Scene(3, 1, 0)

    assert scene.run() == 0
    assert scene.asked == [("web", "b1", "draining")]
    assert scene.slept == [1.0, 1.0]
    assert capsys.readouterr().out == (
        "web/b1: draining, 3 flows left, 0 s\n"
        "web/b1: draining, 1 flow left, 1 s\n"
        "web/b1: draining, 0 flows left, 2 s\n"
    )


def test_what_both_ends_have_closed_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """It stays in the table for minutes, for late segments: nobody uses it."""
    scene = Scene(3, 2)
    scene.closing = 2

    assert scene.run(deadline=9.0) == 0
    assert scene.now == 101.0
    assert "1 flow left, 0 s\n" in capsys.readouterr().out


def test_where_what_is_over_cannot_be_counted_all_is_waited_for() -> None:
    """Control is being replaced."""
    scene = Scene(3, 2)
    scene.closing = UnavailableError("nobody listens")

    assert scene.run(deadline=2.0) == 1


def test_what_is_left_at_the_deadline_is_reset(capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly then, and the exit code says so."""
    scene = Scene(3, 2)

    assert scene.run(deadline=2.5) == 1
    assert scene.slept == [1.0, 1.0, 0.5]
    assert scene.asked[1:] == [(FlowFilter(service="web", backend="b1"), True)]
    assert capsys.readouterr().err == "deadline: 2 flows dropped, 4 resets sent\n"


def test_who_is_empty_in_time_is_not_cut() -> None:
    """Also at the last look."""
    scene = Scene(3, 1, 0)

    assert scene.run(deadline=2.0) == 0
    assert len(scene.asked) == 1


def test_json_lines_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """One document a look, the last one with the result."""
    scene = Scene(3, 2)
    scene.json = True
    scene.run(deadline=1.0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(each["flows"], each["result"]) for each in lines] == [(3, None), (2, "cut")]
    assert list(lines[0]) == ["service", "name", "state", "flows", "elapsed_seconds", "result"]


def test_who_is_made_ready_meanwhile_drains_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody else wants it otherwise: nothing of it is reset."""
    scene = Scene(3, replace(BACKEND, state="ready"))

    assert scene.run(deadline=9.0) == 1
    assert capsys.readouterr().err == "web/b1 was made ready meanwhile, and drains no more\n"
    assert len(scene.asked) == 1


def test_who_is_removed_meanwhile_is_told() -> None:
    """There is nothing more to wait for."""
    with pytest.raises(UnknownNameError, match="web/b1 was removed meanwhile"):
        Scene(3, None).run()


def test_an_instance_that_is_silent_for_a_moment_is_asked_again() -> None:
    """Control is being replaced; the deadline waits for it, at a rest."""
    silent = UnavailableError("nobody listens")
    scene = Scene(3, silent, silent, silent, 2)

    assert scene.run(deadline=2.0) == 1
    assert scene.now == 104.0


def test_an_instance_that_is_gone_ends_the_wait() -> None:
    """Not for ever."""
    scene = Scene(3, UnavailableError("nobody listens"))
    with pytest.raises(UnavailableError):
        scene.run()

    assert 100 + draining.SECONDS_WITHOUT_ANSWER <= scene.now <= 135


@pytest.mark.parametrize("is_terminal", [False, True])
def test_who_is_interrupted_is_told_what_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    """It drains on."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    with pytest.raises(KeyboardInterrupt):
        Scene(3, KeyboardInterrupt()).run()
    said = capsys.readouterr()

    assert said.err.startswith("web/b1 stays draining; natlb ready web/b1")
    assert said.out.endswith("3 flows left, 0 s\n")


def test_a_terminal_gets_one_line_that_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends it at the end."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Scene(2, 1, 0).run()
    said = capsys.readouterr().out

    assert said.count("\n") == 1
    assert said.count("\r") == 3
