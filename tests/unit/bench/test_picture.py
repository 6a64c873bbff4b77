"""A run drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.bench import picture
from natlb.bench.picture import BARE_COLOUR, OUR_COLOUR, colour_of, draw, drawn_of, refuse_picture
from natlb.bench.results import Column, Line, Measure, Results, Settings
from natlb.errors import HostError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = Results(
    machine={"machine": "a machine", "kernel": "Linux 6"},
    settings=Settings(),
    columns=(Column(name="nft", about=""), Column(name="tun-route", about="")),
    measures=(
        Measure(
            line=Line(key="http-kept.p99", name="p99", unit="ms", better="less"),
            figures={"tun-route": (1.0, 2.0, 4.0)},
        ),
        Measure(
            line=Line(key="udp-8", name="packets", unit="k/s"),
            figures={"nft": (3.0,), "tun-route": (2.0,)},
        ),
        Measure(line=Line(key="udp-8.sent", name="sent", unit="k/s"), figures={"nft": (3.0,)}),
    ),
)


def test_a_picture_has_what_matters_and_is_the_same_each_time(tmp_path: Path) -> None:
    """No date, no chance: a diff shows a change of figures alone."""
    places = [tmp_path / f"{name}.svg" for name in ("a", "b")]

    assert all(draw(RESULTS, place) for place in places)
    assert places[0].read_bytes() == places[1].read_bytes()
    assert [each.line.key for each in drawn_of(RESULTS)] == ["udp-8", "http-kept.p99"]


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    """No empty file."""
    assert not draw(Results(machine={}, settings=Settings()), tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_is_an_error_of_the_host(tmp_path: Path) -> None:
    """As everything that cannot be written."""
    with pytest.raises(HostError, match="cannot write"):
        draw(RESULTS, tmp_path / "none" / "a.svg")


def test_without_matplotlib_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra, since it is heavy."""
    refuse_picture()
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError) as raised:
        refuse_picture()

    assert raised.value.fix == "pip install 'natlb[pictures]'"


def test_kinds_of_columns_are_told_apart() -> None:
    """A glance finds ours."""
    colours = [colour_of(name) for name in ("tun-route", "bare-tun-route", "nft", "none")]

    assert colours[:2] == [OUR_COLOUR, BARE_COLOUR]
    assert len(set(colours)) == 4
