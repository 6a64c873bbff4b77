"""A run from start to end, with the namespaces and the measuring taken out."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bench import run as runs
from natlb.bench.alone import TimeIsUpError
from natlb.bench.results import Column, Line, Measure, Settings
from natlb.errors import DeniedError, HostError, UnavailableError, UsageError
from natlb.lab import rights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEASURE = Measure(line=Line(key="a", name="a", unit="k/s"), figures={"none": (1.0,)})


@contextmanager
def nobody() -> Iterator[int]:
    """Give no process."""
    yield 0


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Give what was done, in order; nothing of it touches the host."""
    steps: list[str] = []

    def enter(*, make: bool) -> bool:
        steps.append("enter")
        return make

    monkeypatch.setattr(rights, "enter", enter)
    monkeypatch.setattr(rights, "settle", lambda: steps.append("settle"))
    monkeypatch.setattr(runs, "alone", lambda: runs_alone(tmp_path))
    monkeypatch.setattr(runs, "watched", nobody)
    monkeypatch.setattr(runs, "remove_abandoned", lambda _: steps.append("remove abandoned"))
    monkeypatch.setattr(runs, "clean_up", lambda: steps.append("clean up"))
    monkeypatch.setattr(runs, "usable_loads", lambda loads, _: loads)
    return steps


def runs_alone(place: Path) -> Any:
    """Hold a lock of the test's own."""
    from natlb.bench.alone import alone

    return alone(place)


def plan() -> runs.Plan:
    """Return the smallest plan."""
    return runs.plan("none", "http-kept", Settings(rounds=1, seconds=1.0))


def have(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    """Have one figure measured, and then this raised."""

    def measure_all(_stack: Any, _columns: Any, _loads: Any, session: Any, _build: Any) -> None:
        session.columns.append(Column(name="none", about=""))
        session.measures.append(MEASURE)
        if error is not None:
            raise error

    monkeypatch.setattr(runs, "measure_all", measure_all)


def test_a_run_says_how_long_it_will_take_and_leaves_nothing(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it begins, and in the end."""
    have(monkeypatch)
    said: list[str] = []
    results = runs.run(plan(), said.append)

    assert done == ["enter", "remove abandoned", "clean up", "settle"]
    assert any("1 load, 1 column, 1 round of 1 s: about" in line for line in said)
    assert results.measures == (MEASURE,)
    assert results.ended_early == ""


@pytest.mark.parametrize(
    ("error", "told"),
    [(KeyboardInterrupt(), "interrupted"), (TimeIsUpError("not done after 9 minutes"), "not done")],
)
def test_a_run_cut_short_cleans_up_and_has_what_was_measured(
    done: list[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    """And says that it is not whole."""
    have(monkeypatch, error)
    results = runs.run(plan(), lambda _: None)

    assert results.ended_early.startswith(told)
    assert results.measures == (MEASURE,)
    assert done[-2:] == ["clean up", "settle"]


def test_a_failure_cleans_up_too(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is."""
    have(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        runs.run(plan(), lambda _: None)

    assert done[-2:] == ["clean up", "settle"]


def test_an_interrupt_while_cleaning_up_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No second signal comes, but the first may come right then."""
    tries: list[int] = []

    def clean_up() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "clean_up", clean_up)
    with pytest.raises(KeyboardInterrupt):
        runs.surely_clean_up()

    assert len(tries) == 2


def test_who_may_make_no_namespaces_is_told_about_this_command(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not about another one."""

    def refuse(*, make: bool) -> bool:
        raise DeniedError("need root" if make else "", fix="sudo natlb lab …")

    monkeypatch.setattr(rights, "enter", refuse)
    with pytest.raises(DeniedError, match="need root") as raised:
        runs.run(plan(), lambda _: None)

    assert raised.value.fix == "sudo natlb bench"
    assert done == []


@pytest.mark.usefixtures("done")
def test_where_nothing_can_be_measured_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an empty report."""
    monkeypatch.setattr(runs, "usable_columns", lambda *_: [])
    with pytest.raises(UnavailableError, match="none of the columns"):
        runs.run(plan(), lambda _: None)


def test_names_are_checked_before_anything_is_made() -> None:
    """Half an hour later would be late."""
    with pytest.raises(UsageError, match="--loads: there is no 'htp-kept'"):
        runs.plan(None, "htp-kept", Settings())


def test_the_folder_of_the_results_is_made_and_tried_before(tmp_path: Path) -> None:
    """Half an hour later would be late."""
    runs.check_folder(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())

    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot write results"):
        runs.check_folder(tmp_path / "file" / "b")


@pytest.mark.parametrize(("seconds", "told"), [(42.0, "42 seconds"), (840.0, "14 minutes")])
def test_the_announcement_is_in_units_that_people_use(seconds: float, told: str) -> None:
    """Nobody divides by sixty."""
    assert f"about {told}" in runs.announcement(10, 12, Settings(), seconds)


def test_nothing_that_begins_threads_is_loaded_before_namespaces_are_entered() -> None:
    """A process with more than one thread can enter no user namespace: NumPy begins some."""
    code = "import sys, natlb.bench.run, natlb.bench.picture as p, natlb.cli.bench\n"
    code += "p.refuse_picture()\nprint('numpy' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False False\n"
