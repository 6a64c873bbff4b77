"""`natlb bench`: what is asked for is checked, and what was measured is written and printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bench import picture, run
from natlb.bench.results import Column, Line, Measure, Results, Settings
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

LINE = Line(key="http-kept", name="HTTP, kept", unit="k requests/s")


def results(ended_early: str = "", figures: bool = True) -> Results:
    """Return a run of one figure, or of none."""
    measures = (Measure(line=LINE, figures={"none": (40.0,)}),)
    return Results(
        machine={"kernel": "Linux 6"},
        settings=Settings(),
        columns=(Column(name="none", about="no forwarder"),),
        measures=measures if figures else (),
        ended_early=ended_early,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[run.Plan]:
    """Give the plans that were to be run; each gives the same results."""
    plans: list[run.Plan] = []

    def paper_run(plan: run.Plan, _: Any) -> Results:
        plans.append(plan)
        return results()

    monkeypatch.setattr(run, "run", paper_run)
    return plans


def test_results_are_printed_and_written(command, asked, tmp_path: Path) -> None:
    """As JSON, as Markdown, and drawn."""
    said = command("bench", "--output", str(tmp_path / "out"))

    assert said.code == 0
    assert "| HTTP, kept | k requests/s | 40   |" in said.out
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".md", ".svg"]
    assert said.err.count("written: ") == 3
    assert asked[0].settings == Settings()


def test_in_json_standard_output_is_the_document_alone(command, asked, tmp_path: Path) -> None:
    """For programs."""
    said = command("bench", "--json", "--output", str(tmp_path))

    assert json.loads(said.out)["measures"][0]["key"] == "http-kept"
    assert len(asked) == 1


def test_without_matplotlib_there_is_no_picture_and_all_else(
    command, asked, tmp_path: Path, monkeypatch
) -> None:
    """It is said beforehand, with how to have it."""

    def refuse() -> None:
        raise UnavailableError("matplotlib is not installed", fix="pip install it")

    monkeypatch.setattr(picture, "refuse_picture", refuse)
    said = command("bench", "--output", str(tmp_path))

    assert said.code == 0
    assert "no picture: matplotlib is not installed; pip install it" in said.err
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md"]


def test_columns_loads_rounds_and_seconds_can_be_chosen(command, asked, tmp_path: Path) -> None:
    """What is said outright goes before --quick."""
    words = ("--columns", "nft,none", "--loads", "mix", "--rounds", "5", "--seconds", "0.5")
    command("bench", *words, "--output", str(tmp_path))
    command("bench", "--quick", "--seconds", "2", "--output", str(tmp_path))

    assert [each.name for each in asked[0].columns] == ["none", "nft"]
    assert [each.name for each in asked[0].loads] == ["mix"]
    assert asked[0].settings == Settings(rounds=5, seconds=0.5)
    assert asked[1].settings == Settings(rounds=1, seconds=2.0)


@pytest.mark.parametrize(("ended", "code"), [(run.INTERRUPTED, 130), ("not done", 124)])
def test_a_run_cut_short_is_told_by_its_exit_code(
    command, monkeypatch, tmp_path: Path, ended: str, code: int
) -> None:
    """What was measured is written all the same."""
    monkeypatch.setattr(run, "run", lambda *_: results(ended))
    said = command("bench", "--output", str(tmp_path))

    assert said.code == code
    assert f"not whole: {ended}" in said.err
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_without_figures_writes_no_file(command, monkeypatch, tmp_path: Path) -> None:
    """Interrupted before the first."""
    monkeypatch.setattr(run, "run", lambda *_: results("interrupted", figures=False))

    assert command("bench", "--output", str(tmp_path)).code == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--columns", "haprox"), "did you mean 'haproxy'?"),
        (("--loads", "x"), "there is no 'x'"),
        (("--rounds", "0"), "--rounds"),
        (("--seconds", "0"), "--seconds"),
    ],
)
def test_nonsense_is_a_usage_error(command, asked, words: tuple[str, ...], why: str) -> None:
    """And nothing is begun."""
    said = command("bench", *words)

    assert said.code == 2
    assert why in said.err
    assert not asked


def test_columns_and_loads_can_be_listed(command, asked) -> None:
    """With why one cannot be had here."""
    text = command("bench", "--list").out
    told = json.loads(command("bench", "--list", "--json").out)

    assert {"nft", "haproxy", "nginx", "none", "tun-route"} <= told["columns"].keys()
    assert "udp-30000" in told["loads"]
    assert all(f"\n  {name} " in text for group in told.values() for name in group)
    assert not asked
