"""Numbers and tables as words."""

from __future__ import annotations

import pytest

from natlb.bench.tables import number, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.1234, "8.12"),
        (63.44, "63.4"),
        (254_321.0, "254,321"),
        (5432.1, "5,432"),
        (0, "0"),
        (-0.572, "-0.572"),
    ],
)
def test_numbers_have_as_many_figures_as_mean_something(value: float, text: str) -> None:
    """More would be noise."""
    assert number(value) == text


def test_a_table_is_as_wide_as_what_it_holds() -> None:
    """A terminal shows it as it is."""
    assert table([["a", "b"], ["long", "1"]]) == [
        "| a    | b |",
        "|------|---|",
        "| long | 1 |",
    ]
