"""What came of a run, in numbers. Each says what it is of; JSON has them all.

Load is the flows that a backend has, opening and established, over its weight: the number that a
policy that weighs would have equal. It is looked at in samples between a tenth of the time and the
end, and only at backends that take new flows at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from natlb.core.verdict import DropReason
from natlb.simulation.disruption import Disruption  # noqa: TC001 - a field of a document
from natlb.simulation.kernels.world import BROKEN, EVICTED, NOT_YET
from natlb.simulation.workload import MICROSECONDS

if TYPE_CHECKING:
    from natlb.simulation.forms import Floats, Integers
    from natlb.simulation.run import Outcome

COURSE = 101
WARM_UP = 0.1  # of the time, in which the pool fills


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsSeen:
    """Flows that came, and what became of them; `refused` by reason."""

    offered: int
    refused: dict[str, int]
    evicted: int
    broken: int

    @property
    def refused_in_all(self) -> int:
        """How many were given no backend."""
        return sum(self.refused.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How even load was, averaged over time; None where there was none.

    `max_to_mean` is the highest load over the mean, `variation` the standard deviation over the
    mean, `jain` Jain's index (1: all equal, 1/n: all on one). `peak_to_mean` is the most that any
    backend ever had over the mean of all over time.
    """

    max_to_mean: float | None
    variation: float | None
    jain: float | None
    peak_to_mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Herd:
    """The most flows in a row that one backend was given.

    `in_a_row` without another between them; `in_a_handshake` within the median time of a
    handshake, and `came_then` of how many that came in that time.
    """

    in_a_row: int
    in_a_handshake: int
    came_then: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What flows waited for a server, in seconds."""

    mean: float
    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A backend's share of all flows, beside that of its weight."""

    backend: str
    weight: int
    flows: int
    share: float
    due: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Each backend's flows at so many moments, evenly spaced from the first flow to the last."""

    seconds: list[float]
    flows: dict[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A policy's row. `fairness` is Jain's index of flows over weight."""

    policy: str
    flows: FlowsSeen
    balance: Balance
    fairness: float | None
    herd: Herd
    waiting_seconds: Waiting | None
    disruptions: list[Disruption]
    shares: list[Share]
    course: Course


def measure(outcome: Outcome) -> Report:
    """Return a run in numbers."""
    shares = shares_of(outcome)
    per_weight = np.array([each.flows / each.weight for each in shares if each.weight > 0])
    return Report(
        policy=outcome.words,
        flows=flows_of(outcome),
        balance=balance_of(outcome),
        fairness=_rounded(jain(per_weight)),
        herd=herd_of(outcome),
        waiting_seconds=waiting_of(outcome),
        disruptions=outcome.disruptions,
        shares=shares,
        course=course_of(outcome),
    )


def flows_of(outcome: Outcome) -> FlowsSeen:
    """Return what became of the flows."""
    given, numbers = outcome.world.backends, outcome.world.numbers
    reasons, counts = np.unique(-given[given < 0], return_counts=True)
    return FlowsSeen(
        offered=int(given.size),
        refused={
            DropReason(int(reason)).label: int(count)
            for reason, count in zip(reasons, counts, strict=True)
        },
        evicted=int(numbers[EVICTED]),
        broken=int(numbers[BROKEN]),
    )


def shares_of(outcome: Outcome) -> list[Share]:
    """Return what each backend was given."""
    given = outcome.world.backends
    counts = np.bincount(given[given >= 0], minlength=len(outcome.names))
    flows, weights = max(1, int(counts.sum())), max(1, sum(outcome.weights))
    return [
        Share(
            backend=name,
            weight=weight,
            flows=int(count),
            share=round(int(count) / flows, 6),
            due=round(weight / weights, 6),
        )
        for name, weight, count in zip(outcome.names, outcome.weights, counts, strict=True)
    ]


def course_of(outcome: Outcome) -> Course:
    """Return load over time."""
    world = outcome.world
    moments = np.linspace(0, world.moments.size - 1, COURSE).astype(np.int64)
    samples = world.samples[moments]
    return Course(
        seconds=(world.moments[moments] / MICROSECONDS).tolist(),
        flows={name: samples[:, at].tolist() for at, name in enumerate(outcome.names)},
    )


def loads_of(outcome: Outcome) -> Floats:
    """Return load by sample and backend; NaN for one that takes no new flows then."""
    weights = np.maximum(np.array(outcome.weights, np.float64), 1.0)
    loads: Floats = np.where(outcome.serving, outcome.world.samples / weights, np.nan)
    return loads


def balance_of(outcome: Outcome) -> Balance:
    """Return how even load was."""
    loads = loads_of(outcome)[int(WARM_UP * outcome.world.moments.size) :]
    loads = loads[np.nansum(loads, axis=1) > 0]
    if loads.size == 0:
        return Balance(max_to_mean=None, variation=None, jain=None, peak_to_mean=None)
    means = np.nanmean(loads, axis=1)
    squares = np.nanmean(loads**2, axis=1)
    weights = np.maximum(np.array(outcome.weights), 1)
    return Balance(
        max_to_mean=_rounded(np.mean(np.nanmax(loads, axis=1) / means)),
        variation=_rounded(np.mean(np.sqrt(np.maximum(squares - means**2, 0.0)) / means)),
        jain=_rounded(np.mean(means**2 / squares)),
        peak_to_mean=_rounded(np.max(outcome.world.peaks / weights) / np.mean(means)),
    )


def jain(loads: Floats) -> float | None:
    """Return Jain's index of fairness (Jain, Chiu and Hawe, 1984), or None of no load at all."""
    squares = loads.size * float(np.sum(loads**2))
    return float(np.sum(loads)) ** 2 / squares if squares else None


def herd_of(outcome: Outcome) -> Herd:
    """Return the largest herds."""
    given, starts = outcome.world.backends, outcome.script.starts
    is_given = given >= 0
    given, starts = given[is_given], starts[is_given]
    if given.size == 0:
        return Herd(in_a_row=0, in_a_handshake=0, came_then=0)
    begins = np.flatnonzero(np.r_[True, given[1:] != given[:-1]])
    window = int(np.median(outcome.script.handshakes))
    most, came = 0, 0
    for backend in np.unique(given):
        own = starts[given == backend]
        ends = np.searchsorted(own, own + window, side="right")
        counts = ends - np.arange(own.size)
        at = int(np.argmax(counts))
        if counts[at] > most:
            most, came = int(counts[at]), _count_within(starts, own[at], window)
    return Herd(
        in_a_row=int(np.max(np.diff(np.r_[begins, given.size]))),
        in_a_handshake=most,
        came_then=came,
    )


def _count_within(starts: Integers, begin: int, window: int) -> int:
    """Return how many flows came from a moment on within a window."""
    first, last = np.searchsorted(starts, [begin, begin + window + 1])
    return int(last - first)


def waits_of(outcome: Outcome) -> Floats:
    """Return what each flow that was served waited for a server, in seconds, shortest first."""
    world = outcome.world
    is_served = world.served != NOT_YET
    waits = (world.served[is_served] - world.answered[is_served]) / MICROSECONDS
    ordered: Floats = np.sort(waits)
    return ordered


def waiting_of(outcome: Outcome) -> Waiting | None:
    """Return what flows waited, or None where servers have no end."""
    waits = waits_of(outcome)
    if outcome.script.servers == 0 or waits.size == 0:
        return None
    p50, p99 = np.percentile(waits, [50, 99])
    return Waiting(
        mean=round(float(np.mean(waits)), 6),
        p50=round(float(p50), 6),
        p99=round(float(p99), 6),
        most=round(float(waits[-1]), 6),
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), 4)
