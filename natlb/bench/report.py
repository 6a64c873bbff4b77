"""A run as people read it: Markdown, which a terminal shows as well, and JSON beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from natlb.bench.aims import BARE, PATHS, judge
from natlb.bench.results import NONE, figure, is_near_the_loader, ratio
from natlb.bench.tables import NOTHING, number, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from natlb.bench.aims import Aim, Judgement
    from natlb.bench.results import Figure, Measure, Results

PEERS = ("nft", "haproxy", "nginx")  # whom ratios are told to, beside the bare forwarder
MARK = "*"
NEAR_NOTE = (
    f"{MARK}: within 10 % of what the loaders do without a forwarder (column `{NONE}`): "
    "it may be the loader that is measured"
)
VERDICTS = {True: "met", False: "missed", None: "told, not judged"}


def markdown(results: Results) -> str:
    """Return the whole report."""
    lines = ["# natlb beside its peers", "", *_of_machine(results), "", *_overview(results)]
    for measure in results.measures:
        lines += ["", *_of_measure(measure, results)]
    judged = list(judge(results))
    if judged:
        lines += ["", "## Aims", "", *aim_table(judged)]
    lines += ["", *_words(results)]
    return "\n".join(lines).rstrip() + "\n"


def _of_machine(results: Results) -> Iterator[str]:
    yield from (f"- {name}: {value}" for name, value in results.machine.items())
    settings = results.settings
    times = "once" if settings.rounds == 1 else f"in {settings.rounds} rounds"
    yield (
        f"- each load on each column {times}, {settings.seconds:g} s each; "
        f"all of it took {results.seconds:.0f} s"
    )
    if results.ended_early:
        yield f"- **not whole: {results.ended_early}**"


def _overview(results: Results) -> list[str]:
    """Return one table of all medians."""
    if not results.measures:
        return ["Nothing was measured."]
    rows = [["median of", "unit", *results.names]]
    for measure in results.measures:
        cells = [_median(measure, column) for column in results.names]
        rows.append([measure.line.name, measure.line.unit, *cells])
    lines = table(rows)
    if any(MARK in cell for row in rows for cell in row):
        lines += ["", NEAR_NOTE]
    return lines


def _median(measure: Measure, column: str) -> str:
    found = figure(measure.taken(column))
    if found is None:
        return NOTHING
    return number(found.median) + (MARK if is_near_the_loader(measure, column) else "")


def _of_measure(measure: Measure, results: Results) -> list[str]:
    """Return one figure of a load, column by column, with its spread and its ratios."""
    columns = [column for column in results.names if measure.taken(column)]
    peers = [peer for peer in PEERS if peer in columns]
    has_bare = any(BARE + path in columns for path in PATHS)
    head = ["column", "median", "least - most", *(f"to {peer}" for peer in peers)]
    rows = [[*head, *(["to its bare forwarder"] if has_bare else [])]]
    for column in columns:
        others = [*peers, *([BARE + column] if has_bare else [])]
        ratios = [_ratio(measure, column, other) for other in others]
        rows.append([column, *_spread(measure, column), *ratios])
    line = measure.line
    better = "" if line.better == "more" else ", less is better"
    return [f"## {line.name} ({line.unit}{better})", "", *table(rows)]


def _spread(measure: Measure, column: str) -> list[str]:
    found = figure(measure.taken(column))
    spread = f"{number(found.least)} - {number(found.most)}" if found else NOTHING
    return [_median(measure, column), spread]


def _ratio(measure: Measure, over: str, under: str) -> str:
    found = None if over == under else ratio(measure, over, under)
    return NOTHING if found is None else f"{found.median:.2f}"


def aim_table(judged: list[Judgement]) -> list[str]:
    """Return each aim with the ratio reached, and whether that is enough."""
    rows = [["load", "path", "aim", "reached", "least - most", ""]]
    for each in judged:
        found = each.figure
        reached = [f"{found.median:.2f}", f"{found.least:.2f} - {found.most:.2f}"] if found else []
        verdict = VERDICTS[each.met] if found else "not measured"
        cells = reached or [NOTHING, NOTHING]
        rows.append([each.name, each.aim.path, aim_text(each.aim), *cells, verdict])
    return table(rows)


def aim_text(aim: Aim) -> str:
    """Return an aim in words: `at least 0.95 of nft`."""
    if aim.bound is None:
        return f"none; to {aim.of}"
    return f"{'at least' if aim.at_least is not None else 'at most'} {aim.bound:g} of {aim.of}"


def _words(results: Results) -> Iterator[str]:
    """Give how to read it, and what is missing."""
    yield from ("## Columns", "")
    yield from (f"- `{column.name}`: {column.about}" for column in results.columns)
    if results.notes:
        yield from ("", "## How to read it", "", *(f"- {note}" for note in results.notes))
    if results.left_out:
        yield from ("", "## Left out", "")
        yield from (f"- {name}: {why}" for name, why in results.left_out.items())


def document(results: Results) -> dict[str, Any]:
    """Return all of it as plain JSON: every single figure, and what was made of them."""
    return {
        "machine": results.machine,
        "settings": asdict(results.settings),
        "seconds": round(results.seconds, 1),
        "ended_early": results.ended_early or None,
        "columns": [asdict(column) for column in results.columns],
        "measures": [_measured(measure, results) for measure in results.measures],
        "aims": [_judged(each) for each in judge(results)],
        "notes": list(results.notes),
        "left_out": results.left_out,
    }


def _measured(measure: Measure, results: Results) -> dict[str, Any]:
    names = [name for name in results.names if measure.taken(name)]
    return {
        **asdict(measure.line),
        "figures": {name: list(measure.figures[name]) for name in names},
        "medians": {name: _plain(figure(measure.taken(name))) for name in names},
        "ratios": {
            name: {other: _plain(ratio(measure, name, other)) for other in names if other != name}
            for name in names
        },
        "near_the_loader": [name for name in names if is_near_the_loader(measure, name)],
    }


def _judged(each: Judgement) -> dict[str, Any]:
    return {**asdict(each.aim), "reached": _plain(each.figure), "met": each.met}


def _plain(found: Figure | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def write(results: Results, folder: Path, name: str) -> list[Path]:
    """Write `NAME.json` and `NAME.md` into the folder, and return both paths."""
    texts = {
        "json": json.dumps(document(results), indent=2, ensure_ascii=False) + "\n",
        "md": markdown(results),
    }
    paths = [folder / f"{name}.{kind}" for kind in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths
