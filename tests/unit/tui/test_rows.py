"""A look in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natlb.model import Change
from natlb.tui.look import History, take_look
from natlb.tui.rows import BARS, COLUMNS, _octets, _seconds, headline, rows_of, sparkline
from tests.unit.tui.fake_source import FakeSource
from tests.unit.tui.test_look import history_of


def test_every_row_has_every_column() -> None:
    """In the order of the configuration, each with a key of its own."""
    rows = rows_of(history_of(3))

    assert {len(row.cells) for row in rows} == {len(COLUMNS)}
    assert [row.key for row in rows] == ["web", "web/b1", "web/b2", "web/b3", "dns", "dns/b1"]
    assert [row.colour for row in rows] == [
        *("bold yellow", "green", "green", "red", "bold red", "yellow")
    ]


def test_a_row_is_what_the_backend_does() -> None:
    """Rates of the last two looks, the last check, the last handshakes."""
    row = rows_of(history_of(3))[1]

    assert row.cells == (
        *("  b1", "10.77.0.11:8080", "1", "ready", "up L4OK", "0.4 ms"),
        *("10", "25", "1.0 kB", "2.5 MB", "2.00 ms", " ▇█"),
    )


def test_before_the_first_look_there_is_nothing() -> None:
    """And nothing to go wrong."""
    assert rows_of(History()) == []


def test_what_is_not_known_is_a_dash() -> None:
    """Not a nought."""
    assert rows_of(history_of(1))[1].cells[7:] == ("-", "-", "-", "-", " ")


def test_the_headline_is_the_verdict() -> None:
    """And what was changed at run time."""
    look = take_look(FakeSource())
    changes = [Change(backend="web/b2", field="weight", file=1, now=10)]
    other = replace(look, status=replace(look.status, ready=False, changes=changes))

    assert headline(look) == "ready, compiled, generation 7: 2 of 4 backends up, 70 flows"
    assert headline(other).startswith("not ready, ")
    assert headline(other).endswith(", 1 changed at run time")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([None, 1.0, None], " █ "),
        ([0.0, 0.0], "▁▁"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "▂▃▄▅▆▇██"),
    ],
)
def test_bars_are_as_high_as_their_share_of_the_highest(values, shown) -> None:
    """Whatever the unit is."""
    assert sparkline(values) == shown
    assert set(shown) <= {" ", *BARS}


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0 B"), (999.0, "999 B"), (1500.0, "1.5 kB"), (3e15, "3000 TB")],
)
def test_octets_have_a_unit(value, shown) -> None:
    """As people say them."""
    assert _octets(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.00042, "0.42 ms"), (2.5, "2.50 s"), (None, "-")])
def test_times_have_a_unit(value, shown) -> None:
    """Milliseconds below a second."""
    assert _seconds(value) == shown
