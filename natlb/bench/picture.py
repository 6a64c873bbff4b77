"""A run drawn: a panel for each figure that matters, a bar for each column; an SVG.

Colours are those of Okabe and Ito (2008), told apart with any colour vision. The file holds no
date and its names are hashed with a salt of its own: the same run gives the same octets.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from natlb.bench.aims import BARE, PATHS
from natlb.bench.results import NONE, figure
from natlb.errors import HostError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.bench.results import Measure, Results

DRAWN = (
    *("udp-8", "udp-30000", "cpu.cpu", "bulk-1", "bulk-4", "bulk-4-back"),
    *("http-kept", "http-kept.p99", "http-new", "mix", "mix.kept", "memory"),
)
ACROSS = 3
OUR_COLOUR, BARE_COLOUR, PEER_COLOUR, LIMIT_COLOUR = "#0072B2", "#56B4E9", "#E69F00", "#BBBBBB"
WIDTH, BAR, HEAD = 13.0, 0.24, 0.85  # inches
STYLE: Any = {
    "svg.hashsalt": "natlb",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine has it
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
}


def refuse_picture() -> None:
    """Raise where no picture could be drawn, with what mends it.

    Nothing is imported: NumPy begins threads, and a process that has any can enter no namespace.
    """
    if find_spec("matplotlib") is None:
        message = "matplotlib is not installed, it draws the picture"
        raise UnavailableError(message, fix="pip install 'natlb[pictures]'")


def draw(results: Results, place: Path) -> bool:
    """Write a picture of a run; return whether there was anything to draw."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    measures = drawn_of(results)
    if not measures:
        return False
    down = -(-len(measures) // ACROSS)
    with mpl.rc_context(STYLE):
        height = HEAD + down * (HEAD + BAR * len(results.columns))
        drawn = Figure(figsize=(WIDTH, height), layout="constrained")
        drawn.suptitle(title_of(results), x=0.01, ha="left", fontsize=11)
        for at, measure in enumerate(measures):
            draw_panel(drawn.add_subplot(down, ACROSS, at + 1), measure, results.names)
        try:
            drawn.savefig(place, metadata={"Date": None})
        except OSError as error:
            raise HostError(f"cannot write '{place}': {error.strerror}") from None
    return True


def drawn_of(results: Results) -> list[Measure]:
    """Return the measures that are drawn, in the order of the picture."""
    held = {measure.line.key: measure for measure in results.measures}
    return [held[key] for key in DRAWN if key in held]


def title_of(results: Results) -> str:
    """Return what the picture shows, and on which machine."""
    machine, kernel = (results.machine.get(key, "?") for key in ("machine", "kernel"))
    return f"natlb beside its peers: medians, least to most of each round\n{machine}; {kernel}"


def draw_panel(axes: Any, measure: Measure, columns: list[str]) -> None:
    """Draw one figure: a bar for each column, and a line from its least to its most."""
    held = [(name, found) for name in columns if (found := figure(measure.taken(name)))]
    where = range(len(held))
    medians = [found.median for _, found in held]
    below = [found.median - found.least for _, found in held]
    above = [found.most - found.median for _, found in held]
    colours = [colour_of(name) for name, _ in held]
    axes.barh(where, medians, color=colours, xerr=(below, above), ecolor="#333333", height=0.72)
    axes.set_yticks(where, [name for name, _ in held])
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x")
    less = ", less is better" if measure.line.better == "less" else ""
    axes.set_title(f"{measure.line.name}\n[{measure.line.unit}{less}]")


def colour_of(column: str) -> str:
    """Return the colour of a column: ours, the bare forwarders', the peers', the loaders'."""
    if column in PATHS:
        return OUR_COLOUR
    if column.startswith(BARE):
        return BARE_COLOUR
    return LIMIT_COLOUR if column == NONE else PEER_COLOUR
