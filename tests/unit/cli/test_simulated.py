"""What a simulation came to, as lines and as a document."""

from __future__ import annotations

from typing import Any

import click

from natlb.cli.simulated import simulated_text
from natlb.simulation.disruption import Disruption
from natlb.simulation.measures import measure
from tests.simulations import outcome


def lines(*outcomes) -> list[str]:
    """Return the text without colours."""
    return click.unstyle(simulated_text([measure(each) for each in outcomes])).splitlines()


def test_columns_are_aligned_and_what_is_not_there_is_a_dash() -> None:
    """Names to the left, numbers to the right."""
    head, row = lines(outcome([0, 1, 0, 1], [[1, 1]] * 10))

    assert len(head) == len(row)
    assert row.split() == [
        *("by", "hand", "4", "0", "0", "1.000", "0.000", "1.000", "1.000", "1", "1", "of", "2"),
        *("-", "-"),
    ]


def test_nothing_at_all_is_dashes() -> None:
    """No load, no balance."""
    assert lines(outcome([-1], [[0, 0]] * 10))[1].split()[2:] == [
        *("1", "1", "0", "-", "-", "-", "-", "0", "0", "of", "0", "-", "-"),
    ]


def test_who_moved_stands_below() -> None:
    """A policy that goes by no client has a dash."""
    told: dict[str, Any] = {"at_seconds": 30.0, "change": "fail b2", "leaves": True}
    moved = Disruption(**told, necessary=0.1, changed=0.25)
    nobody = Disruption(**told, necessary=None, changed=None)
    text = lines(outcome([0], disruptions=[moved]), outcome([0], disruptions=[nobody]))

    assert text[4].split("  ")[-1] == "fail b2 at 30 s"
    assert text[5].split("  ")[-1].strip() == "25.00 % (10.00 %)"
    assert text[6].split() == ["by", "hand", "-"]
