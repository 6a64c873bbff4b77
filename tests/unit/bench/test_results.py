"""Medians, spreads and ratios of what was taken in rounds."""

from __future__ import annotations

import pytest

from natlb.bench.results import (
    NONE,
    Column,
    Line,
    Measure,
    Results,
    Settings,
    figure,
    is_near_the_loader,
    ratio,
    ratios,
)

RATE = Line(key="udp-8", name="packets", unit="k/s")
WAIT = Line(key="p99", name="p99", unit="ms", better="less")


def measure(line: Line = RATE, /, **figures: tuple[float | None, ...]) -> Measure:
    """Return a measure with these columns."""
    return Measure(line=line, figures=figures)


def test_a_figure_is_the_median_with_least_and_most() -> None:
    """In whatever order they came."""
    found = figure([3, 1, 10])
    assert found is not None

    assert (found.median, found.least, found.most, found.count) == (3, 1, 10, 3)
    assert figure([]) is None


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine's drift is in both columns of a round: 100/200, 50/100, 10/40."""
    found = ratio(measure(ours=(100, 50, 10), nft=(200, 100, 40)), "ours", "nft")
    assert found is not None

    assert (found.median, found.least, found.most) == (0.5, 0.25, 0.5)


@pytest.mark.parametrize(
    "figures",
    [{}, {"ours": (1.0,)}, {"ours": (1.0,), "nft": (0.0,)}, {"ours": (None,), "nft": (1.0,)}],
)
def test_without_both_columns_there_is_no_ratio(figures: dict[str, tuple[float, ...]]) -> None:
    """A column that was left out, or a figure of nothing, makes no number."""
    assert ratio(measure(**figures), "ours", "nft") is None


def test_a_column_that_failed_half_way_is_compared_in_the_rounds_it_has() -> None:
    """Round one with round one."""
    assert ratios(measure(ours=(10,), nft=(20, 1, 1)), "ours", "nft") == [0.5]


@pytest.mark.parametrize(("value", "near"), [(89.0, False), (91.0, True), (120.0, True)])
def test_a_rate_near_that_of_the_loader_alone_is_told(value: float, near: bool) -> None:
    """It may be the loader that is measured."""
    held = Measure(line=RATE, figures={NONE: (100.0,), "nft": (value,)})

    assert is_near_the_loader(held, "nft") is near
    assert not is_near_the_loader(held, NONE)


def test_a_wait_has_no_limit_by_the_loader() -> None:
    """Less is better: near to none is what is hoped for."""
    held = Measure(line=WAIT, figures={NONE: (1.0,), "nft": (1.0,)})

    assert not is_near_the_loader(held, "nft")


def test_columns_keep_their_order() -> None:
    """As they were measured."""
    columns = (Column(name="b", about=""), Column(name="a", about=""))

    assert Results(machine={}, settings=Settings(), columns=columns).names == ["b", "a"]
