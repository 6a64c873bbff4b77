"""What was measured, as plain values, and what follows from them: medians, spreads, ratios.

A measure is one figure of a load for each column, in the order of rounds. A ratio of two columns
is the median of the ratios of each round, since what the machine does besides meets both alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NONE = "none"  # the column without a forwarder: as much as the loaders themselves can do
NEAR = 0.9  # of that: from here on it may be the loader that is measured

Better = Literal["more", "less"]


class MeasureError(Exception):
    """A figure could not be taken; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How often each load meets each column, and for how long."""

    rounds: int = 3
    seconds: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure of a load. `rate`: a thing that a loader limits, with more being better."""

    key: str
    name: str
    unit: str
    better: Better = "more"

    @property
    def is_rate(self) -> bool:
        """Whether the loader's own limit bounds it."""
        return self.better == "more" and self.unit != "%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A line, and its figures by column."""

    line: Line
    figures: dict[str, tuple[float | None, ...]] = field(default_factory=dict)

    def taken(self, column: str) -> list[float]:
        """Return the figures of a column that could be taken."""
        return [each for each in self.figures.get(column, ()) if each is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median with its spread; `count` is of how many."""

    median: float
    least: float
    most: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a reader must know of a column."""

    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run. `notes` tell how to read it, `left_out` why a column or a figure is missing."""

    machine: dict[str, str]
    settings: Settings
    columns: tuple[Column, ...] = ()
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    ended_early: str = ""

    @property
    def names(self) -> list[str]:
        """The columns' names, in their order."""
        return [column.name for column in self.columns]


@dataclass(slots=True, kw_only=True)
class Session:
    """A run that goes on: who hears of it, and what a reader must know."""

    settings: Settings
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)


def figure(values: Iterable[float]) -> Figure | None:
    """Return the median and the spread of values; None of none."""
    held = sorted(values)
    if not held:
        return None
    return Figure(median=median(held), least=held[0], most=held[-1], count=len(held))


def ratios(measure: Measure, over: str, under: str) -> list[float]:
    """Return one column divided by another, for each round that has both."""
    ours, theirs = measure.figures.get(over, ()), measure.figures.get(under, ())
    pairs = zip(ours, theirs, strict=False)
    return [one / other for one, other in pairs if one is not None and other]


def ratio(measure: Measure, over: str, under: str) -> Figure | None:
    """Return one column to another, round by round; None where no round has both."""
    return figure(ratios(measure, over, under))


def is_near_the_loader(measure: Measure, column: str) -> bool:
    """Return whether a rate is within 10 % of what the loader does without a forwarder."""
    if column == NONE or not measure.line.is_rate:
        return False
    share = ratio(measure, column, NONE)
    return share is not None and share.median >= NEAR
