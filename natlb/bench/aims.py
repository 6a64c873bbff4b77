"""What is aimed at: for each way of moving packets, ratios to peers and to the bare forwarder.

Each is a ratio of medians in one run, never an absolute figure. Where a row of the table has two
loads (few and many flows, to the backend and from it) each is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.bench.results import ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.bench.results import Figure, Results

PATHS = ("tun-route", "tun-direct", "packet", "xdp")
BARE = "bare-"  # before a path's name: the bare forwarder on it
OWN_BARE = "bare"

Bounds = tuple[float | None, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A bound for the ratio of a path to a column; without one it is told and not judged."""

    line: str
    path: str
    of: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> float | None:
        """The number that is aimed at."""
        return self.at_least if self.at_least is not None else self.at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of an aim: `figure` None: not measured; `met` None: that, or only told."""

    aim: Aim
    name: str
    figure: Figure | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median is on the right side of the bound."""
        bound = self.aim.bound
        if self.figure is None or bound is None:
            return None
        if self.aim.at_least is not None:
            return self.figure.median >= bound
        return self.figure.median <= bound


def _row(lines: tuple[str, ...], of: str, bounds: Bounds, *, less: bool = False) -> list[Aim]:
    """Return a row of the table as aims: one for each line and path."""
    return [
        Aim(
            line=line,
            path=path,
            of=BARE + path if of == OWN_BARE else of,
            at_least=None if less else bound,
            at_most=bound if less else None,
        )
        for line in lines
        for path, bound in zip(PATHS, bounds, strict=True)
    ]


SMALL = ("udp-8", "udp-30000")
BULK = ("bulk-4", "bulk-4-back")
AIMS: tuple[Aim, ...] = (
    *_row(SMALL, "nft", (0.75, 1.15, 1.25, 1.8)),
    *_row(BULK, "haproxy", (1.1, 1.4, 1.4, None)),
    *_row(("http-kept",), "haproxy", (1.0, 1.1, 1.2, 1.3)),
    *_row(("http-new",), "nft", (0.95, 1.2, 1.3, 1.3)),
    *_row(("http-kept.p99",), "haproxy", (0.7, 0.6, 0.6, 0.6), less=True),
    *_row(SMALL, OWN_BARE, (0.95, 0.95, 0.95, 0.9)),
)


def judge(results: Results, aims: tuple[Aim, ...] = AIMS) -> Iterator[Judgement]:
    """Give what became of each aim about a load that was measured."""
    measures = {measure.line.key: measure for measure in results.measures}
    for aim in aims:
        measure = measures.get(aim.line)
        if measure is not None:
            found = ratio(measure, aim.path, aim.of)
            yield Judgement(aim=aim, name=measure.line.name, figure=found)
