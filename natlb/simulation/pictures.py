"""Runs drawn: load over time by backend, shares, waiting, disruption; a PNG or an SVG.

Colours are those of Okabe and Ito (2008), told apart with any colour vision. An SVG holds no date
and its names are hashed with a salt of its own: the same run gives the same octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.errors import HostError, UnavailableError, UsageError
from natlb.simulation.measures import shares_of, waits_of
from natlb.simulation.workload import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from natlb.simulation.run import Outcome

DRAWN = 151  # of the samples: a line of more points looks no other
SUFFIXES = (".png", ".svg")
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MANY, MEAN, DUE = "#56B4E9", "#000000", "#000000"
COLUMNS, LOADS = 6, 4  # of a row; of these for loads, the others for shares
WIDTH, ROW, BOTTOM, HEAD = 11.0, 1.9, 2.6, 0.8  # inches
STYLE: Any = {
    "svg.hashsalt": "natlb",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine has it
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.4,
    "savefig.dpi": 150,
}


def refuse_picture(place: Path) -> None:
    """Raise where a picture could not be drawn to a place, before anything is run for it."""
    if place.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--picture '{place}': its name has to end in .png or .svg")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"--picture '{place}': there is no directory '{place.parent}'")
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 - heavy, and an extra
    except ImportError:
        message = "matplotlib is not installed, it draws pictures"
        raise UnavailableError(message, fix="pip install 'natlb[pictures]'") from None


def draw(outcomes: Sequence[Outcome], place: Path, title: str) -> None:
    """Write a picture of runs."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(STYLE):
        panels = _bottom_panels(outcomes)
        height = HEAD + ROW * len(outcomes) + (BOTTOM if panels else 0.0)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.suptitle(title, fontsize=14, fontweight="bold", x=0.01, ha="left")
        ratios = [ROW] * len(outcomes) + [BOTTOM] * bool(panels)
        grid = figure.add_gridspec(len(ratios), COLUMNS, height_ratios=ratios)
        _draw_rows(figure, grid, outcomes)
        for at, panel in enumerate(panels):
            half = COLUMNS // 2
            span = slice(half * at, half * (at + 1)) if len(panels) > 1 else slice(0, COLUMNS)
            panel(figure.add_subplot(grid[-1, span]), outcomes)
        try:
            figure.savefig(place, metadata={"Date": None} if place.suffix == ".svg" else None)
        except OSError as error:
            raise HostError(f"cannot write '{place}': {error.strerror}") from None


def _draw_rows(figure: Any, grid: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw a row for each policy; all have one scale."""
    top = max(1, *(int(each.world.samples.max(initial=0)) for each in outcomes)) * 1.08
    first = None
    for row, outcome in enumerate(outcomes):
        is_last = row == len(outcomes) - 1
        loads = figure.add_subplot(grid[row, :LOADS], sharex=first)
        first = first or loads
        loads.set_ylim(0, top)
        _draw_loads(loads, outcome)
        shares = figure.add_subplot(grid[row, LOADS:])
        _draw_shares(shares, outcome)
        if row == 0:
            shares.set_title("share of flows; marks: due")
        loads.tick_params(labelbottom=is_last)
        if is_last:
            loads.set_xlabel("time [s]")


def _draw_loads(axes: Any, outcome: Outcome) -> None:
    """Draw each backend's flows over time, and when what befell the pool."""
    drawn = np.linspace(0, outcome.world.moments.size - 1, DRAWN).astype(np.int64)
    seconds = outcome.world.moments[drawn] / MICROSECONDS
    samples = outcome.world.samples[drawn]
    is_few = len(outcome.names) <= len(COLOURS)
    for at, name in enumerate(outcome.names):
        style = {"color": COLOURS[at], "label": name} if is_few else {"color": MANY, "alpha": 0.5}
        axes.plot(seconds, samples[:, at], **style)
    if is_few:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    else:
        axes.plot(seconds, samples.mean(axis=1), color=MEAN, label="mean")
        axes.legend(loc="upper right", fontsize=9)
    for each in outcome.disruptions:
        axes.axvline(each.at_seconds, color="#555555", linestyle=":", linewidth=1.2)
        axes.annotate(
            each.change,
            (each.at_seconds, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=9,
            va="top",
        )
    axes.set_title(outcome.words, fontweight="bold")
    axes.set_ylabel("flows")
    axes.margins(x=0.01)


def _draw_shares(axes: Any, outcome: Outcome) -> None:
    """Draw each backend's share of flows, and a mark at that of its weight."""
    shares = shares_of(outcome)
    where = np.arange(len(shares))
    is_few = len(shares) <= len(COLOURS)
    colours = list(COLOURS[: len(shares)]) if is_few else MANY
    axes.bar(where, [100 * each.share for each in shares], color=colours, width=0.75)
    due = [100 * each.due for each in shares]
    axes.plot(where, due, linestyle="none", marker="_", markersize=12, color=DUE)
    axes.set_ylabel("% of flows")
    axes.grid(visible=False, axis="x")
    axes.set_xticks(where, [each.backend for each in shares] if is_few else [""] * len(shares))
    axes.tick_params(axis="x", length=0, labelsize=8)


def _bottom_panels(outcomes: Sequence[Outcome]) -> list[Any]:
    """Return what is drawn below, of all policies together."""
    panels: list[Any] = []
    if any(each.script.servers for each in outcomes):
        panels.append(_draw_waiting)
    if any(d.changed is not None for each in outcomes for d in each.disruptions):
        panels.append(_draw_disruptions)
    return panels


def _draw_waiting(axes: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw for each policy which share of flows waited longer than so long."""
    for at, outcome in enumerate(outcomes):
        waits = waits_of(outcome)
        longer = 100.0 * (1.0 - np.arange(1, waits.size + 1) / max(1, waits.size))
        thin = np.unique(np.linspace(0, waits.size - 1, 2000).astype(np.int64))
        colour = COLOURS[at % len(COLOURS)]
        axes.step(waits[thin], longer[thin], where="post", color=colour, label=outcome.words)
    axes.set_title("flows that wait for a server longer than …")
    axes.set_xlabel("seconds")
    axes.set_ylabel("% of flows")
    axes.set_yscale("log")
    axes.set_ylim(0.05, 110)
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.legend(frameon=False, fontsize=9)


def _draw_disruptions(axes: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw for each policy that goes by the client who moved, and who had to."""
    told = [
        (outcome.words, each)
        for outcome in outcomes
        for each in outcome.disruptions
        if each.changed is not None and each.leaves
    ]
    where = np.arange(len(told))
    changed = [100.0 * (each.changed or 0.0) for _, each in told]
    axes.barh(where, changed, color=COLOURS[1], label="moved")
    needed = [100.0 * (each.necessary or 0.0) for _, each in told]
    axes.barh(where, needed, height=0.4, color=COLOURS[0], label="had to move")
    axes.set_yticks(where, [f"{words}\n{each.change}" for words, each in told], fontsize=9)
    axes.set_ylim(max(4, where.size) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_title("clients that get another backend")
    axes.set_xlabel("% of clients")
    axes.legend(fontsize=9, loc="lower right")
