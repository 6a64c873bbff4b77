"""Results as people read them: Markdown, which a terminal shows as well, and JSON beside it."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

from bench.results import OURS, judgements, ratio
from natlb.bench.tables import NOTHING, number, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.results import Aim, Judgement, Measure, Results

TITLES = {
    "core": "The core alone: one process, no I/O",
    "start": "Start",
    "memory": "Memory",
}


def cell(values: Sequence[float]) -> str:
    """Return median, least and most: `8.12 (7.9-8.3)`; the value alone where it is one."""
    if not values:
        return NOTHING
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}-{number(max(values))})"


def columns_of(measures: Sequence[Measure]) -> list[str]:
    """Return all columns that any of the measures has, ours first."""
    found = dict.fromkeys(name for measure in measures for name in measure.figures)
    return sorted(found, key=lambda name: name != OURS)


def measure_table(measures: Sequence[Measure]) -> list[str]:
    """Return the figures side by side, with our ratio to each other column behind them."""
    columns = columns_of(measures)
    others = [column for column in columns if column != OURS and OURS in columns]
    rows = [["measure", "unit", *columns, *(f"natlb / {other}" for other in others)]]
    for measure in measures:
        figures = [cell(measure.figures.get(column, ())) for column in columns]
        ratios = [ratio(measure, OURS, other) for other in others]
        told = [NOTHING if each is None else f"{each:.2f}" for each in ratios]
        rows.append([measure.name, measure.unit, *figures, *told])
    return table(rows)


def aim_text(aim: Aim) -> str:
    """Return an aim in words: `at least 0.95 of bare`."""
    word = "at least" if aim.at_least is not None else "at most"
    return f"{word} {number(aim.bound)}" + (f" of {aim.of}" if aim.of else "")


def aim_table(judged: Sequence[Judgement]) -> list[str]:
    """Return each aim with the figure, and the figure's share of the aim."""
    rows = [["measure", "aim", "figure", "figure / aim", "met"]]
    for each in judged:
        unit = "" if each.aim.of else f" {each.unit}"
        met = "yes" if each.met else "no"
        aim, figure = f"{aim_text(each.aim)}{unit}", f"{number(each.figure)}{unit}"
        rows.append([each.name, aim, figure, f"{each.share:.2f}", met])
    return table(rows)


def markdown(results: Results) -> str:
    """Return the whole report."""
    lines = ["# natlb, measured", "", *(f"- {k}: {v}" for k, v in results.machine.items())]
    settings = results.settings
    lines.append(
        f"- {settings.repetitions} repetitions of {settings.seconds:g} s: "
        f"median (least-most); all of it took {results.seconds:.0f} s"
    )
    for part, title in TITLES.items():
        measures = [measure for measure in results.measures if measure.part == part]
        if measures:
            lines += ["", f"## {title}", "", *measure_table(measures)]
    if results.notes:
        lines += ["", "## How to read it", "", *(f"- {note}" for note in results.notes)]
    judged = judgements(results.measures)
    if judged:
        lines += ["", "## Aims", "", *aim_table(judged)]
    if results.left_out:
        lines += ["", "## Left out", ""]
        lines += [f"- {name}: {why}" for name, why in results.left_out.items()]
    return "\n".join(lines) + "\n"


def write(results: Results, folder: Path, name: str) -> list[Path]:
    """Write `NAME.json` and `NAME.md` into the folder, and return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "json": json.dumps(results.document(), indent=2, ensure_ascii=False) + "\n",
        "md": markdown(results),
    }
    paths = []
    for kind, text in texts.items():
        path = folder / f"{name}.{kind}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
