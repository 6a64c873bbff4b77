from __future__ import annotations

import builtins
import re

import pytest

from natlb.errors import HostError, UnavailableError, UsageError
from natlb.simulation.changes import read_span
from natlb.simulation.pictures import COLOURS, draw, refuse_picture
from tests.simulations import outcome, played


@pytest.fixture(autouse=True)
def few_are_asked(monkeypatch) -> None:
    """Interpreted, twenty thousand are many."""
    monkeypatch.setattr("natlb.simulation.disruption.CLIENTS", 200)


def outcomes(**scenario):
    """Return runs with all that can be drawn."""
    changes = read_span("fail", "b2@0.2-0.4")
    return [played(words, changes=changes, **scenario) for words in ("round-robin", "source-hash")]


def test_a_png_is_one(tmp_path) -> None:
    """By its name."""
    draw(outcomes(servers=2), tmp_path / "x.png", "Title")

    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_the_same_run_gives_the_same_octets(tmp_path) -> None:
    """So that pictures in documents change when figures do, and not otherwise."""
    for name in ("a", "b"):
        draw(outcomes(servers=2), tmp_path / f"{name}.svg", "Title")
    text = (tmp_path / "a.svg").read_text()

    assert text == (tmp_path / "b.svg").read_text()
    assert "<dc:date>" not in text
    assert re.search("<!-- Title -->", text)
    assert "moved" in text
    assert "wait for a server" in text


def test_what_is_not_there_is_not_drawn(tmp_path) -> None:
    """No waiting without an end of servers, no disruption without change; colours for few."""
    draw([played(weights=[1] * 3)], tmp_path / "few.svg", "Title")
    many = len(COLOURS) + 1
    draw([outcome([0], [[1] * many] * 10)], tmp_path / "many.svg", "Title")
    few, more = ((tmp_path / name).read_text() for name in ("few.svg", "many.svg"))

    assert "wait for a server" not in few
    assert "moved" not in few
    assert "<!-- b3 -->" in few
    assert "<!-- mean -->" in more
    assert "<!-- b3 -->" not in more


def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_run(tmp_path) -> None:
    """By its name, by its place."""
    refuse_picture(tmp_path / "x.SVG")
    with pytest.raises(UsageError, match=r"has to end in \.png or \.svg"):
        refuse_picture(tmp_path / "x.gif")
    with pytest.raises(UsageError, match="there is no directory"):
        refuse_picture(tmp_path / "nowhere" / "x.png")


def test_without_matplotlib_it_is_said_what_mends_it(tmp_path, monkeypatch) -> None:
    """It is an extra."""
    imported = builtins.__import__

    def absent(name, *rest):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UnavailableError) as caught:
        refuse_picture(tmp_path / "x.png")

    assert caught.value.fix == "pip install 'natlb[pictures]'"


def test_a_place_that_cannot_be_written_is_told(tmp_path) -> None:
    """As every output is."""
    (tmp_path / "x.png").mkdir()

    with pytest.raises(HostError, match="cannot write"):
        draw([played()], tmp_path / "x.png", "Title")
