"""What was measured and what was aimed at, as plain values.

A measure is one line of the report: a figure for each column, in the order of repetition. A ratio
of two columns is the median of the ratios of each repetition, since both drift together.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from natlb.bench.results import MeasureError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OURS", "QUICK", "Aim", "Judgement", "Measure", "MeasureError", "Results", "Session"]
__all__ += ["Settings", "judge", "judgements", "ratio"]
OURS = "natlb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How often, and how long each time: seconds of load, or rounds of packets for the core."""

    repetitions: int = 3
    seconds: float = 3.0
    rounds: int = 4
    quick: bool = False


QUICK = Settings(repetitions=1, seconds=1.0, rounds=1, quick=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A bound for our figure, or with `of` for its ratio to that column's."""

    at_least: float | None = None
    at_most: float | None = None
    of: str | None = None

    @property
    def bound(self) -> float:
        """The number that is aimed at."""
        bound = self.at_least if self.at_least is not None else self.at_most
        assert bound is not None
        return bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One line: figures by column, each taken as often as there were repetitions."""

    part: str
    name: str
    unit: str
    figures: dict[str, tuple[float, ...]] = field(default_factory=dict)
    aim: Aim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of an aim; `share` is figure divided by aim."""

    part: str
    name: str
    unit: str
    aim: Aim
    figure: float
    share: float
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run. `notes` tell how to read it, `left_out` why a column or a measure is missing."""

    machine: dict[str, str]
    settings: Settings
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return all of it as plain JSON data."""
        judged = [asdict(judgement) for judgement in judgements(self.measures)]
        return asdict(self) | {"aims": judged}


def ratio(measure: Measure, over: str, under: str) -> float | None:
    """Return the median of one column over another, repetition by repetition; None without both."""
    pairs = zip(measure.figures.get(over, ()), measure.figures.get(under, ()), strict=False)
    ratios = [one / other for one, other in pairs if other]
    return statistics.median(ratios) if ratios else None


def judge(measure: Measure) -> Judgement | None:
    """Return what became of a measure's aim; None where it has none, or no figure to judge."""
    aim, values = measure.aim, measure.figures.get(OURS)
    if aim is None or not values:
        return None
    figure = ratio(measure, OURS, aim.of) if aim.of else statistics.median(values)
    if figure is None:
        return None
    share = figure / aim.bound
    return Judgement(
        part=measure.part,
        name=measure.name,
        unit=f"of {aim.of}" if aim.of else measure.unit,
        aim=aim,
        figure=figure,
        share=share,
        met=share >= 1 if aim.at_least is not None else share <= 1,
    )


def judgements(measures: tuple[Measure, ...]) -> list[Judgement]:
    """Return what became of all aims, in the order of the measures."""
    return [judgement for measure in measures if (judgement := judge(measure)) is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A run that goes on: how long things may take, who hears of them, what a reader must know."""

    settings: Settings
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
