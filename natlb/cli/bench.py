"""`natlb bench`: natlb beside its peers, in namespaces of its own, side by side in rounds."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natlb.cli.options import Terms, json_option, shared
from natlb.cli.output import note, say
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.bench.results import Results, Settings
    from natlb.bench.run import Plan

FOLDER = "natlb-bench"
INTERRUPTED, OUT_OF_TIME = 130, 124
MOST_SECONDS = 600.0


@click.command()
@shared()
@json_option
@click.option("--loads", metavar="NAME,…", help="These loads alone; --list names them.")
@click.option("--columns", metavar="NAME,…", help="These columns alone; --list names them.")
@click.option("--rounds", type=click.IntRange(1, 100), metavar="N", help="How often.  [default: 3]")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, MOST_SECONDS),
    metavar="S",
    help="Of each load on each column, each time.  [default: 3]",
)
@click.option("--quick", is_flag=True, help="One round of a second: does it all work here?")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    metavar="FOLDER",
    help="Where JSON, Markdown and the picture go.",
)
@click.option("--list", "list_", is_flag=True, help="Name columns and loads; measure nothing.")
@click.pass_obj
def bench(
    terms: Terms,
    *,
    loads: str | None,
    columns: str | None,
    rounds: int | None,
    seconds: float | None,
    quick: bool,
    output: Path,
    list_: bool,
) -> int:
    """Measure natlb beside its peers here: nft, HAProxy, nginx, the bare forwarder.

    Everything stands in network namespaces of its own and is measured in turn, round by round.
    """
    from natlb.bench import run

    wanted = run.plan(columns, loads, _settings(rounds, seconds, quick=quick))
    if list_:
        say(_listing(wanted, as_json=terms.json), terms)
        return 0
    run.check_folder(output)
    can_draw = _can_draw()
    results = run.run(wanted, _timed(note))
    name = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H%M%SZ")
    _write(results, output, name, can_draw=can_draw)
    _print(results, terms)
    if results.ended_early:
        note(f"not whole: {results.ended_early}")
        return INTERRUPTED if results.ended_early == run.INTERRUPTED else OUT_OF_TIME
    return 0


def _settings(rounds: int | None, seconds: float | None, *, quick: bool) -> Settings:
    """Return how often and how long: what is said outright goes before `--quick`."""
    from natlb.bench.results import Settings
    from natlb.bench.run import QUICK

    usual = QUICK if quick else Settings()
    return Settings(rounds=rounds or usual.rounds, seconds=seconds or usual.seconds)


def _listing(wanted: Plan, *, as_json: bool) -> str:
    """Return the columns and the loads that are chosen, and why a column cannot be had here."""
    held = {
        "columns": {each.name: each.why_not() or each.about for each in wanted.columns},
        "loads": {each.name: each.about for each in wanted.loads},
    }
    if as_json:
        return json.dumps(held)
    width = max(len(name) for group in held.values() for name in group)
    return "\n".join(
        line
        for title, group in held.items()
        for line in (f"{title}:", *(f"  {k.ljust(width)}  {v}" for k, v in group.items()))
    )


def _timed(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that tells lines with the time since it was made."""
    began = time.monotonic()
    return lambda line: tell(f"{time.monotonic() - began:6.1f} s  {line}")


def _can_draw() -> bool:
    """Return whether a picture can be drawn; where not, say so before anything is measured."""
    from natlb.bench.picture import refuse_picture

    try:
        refuse_picture()
    except UnavailableError as error:
        note(f"no picture: {error.message}; {error.fix}")
        return False
    return True


def _write(results: Results, folder: Path, name: str, *, can_draw: bool) -> None:
    """Write all files of a run that has figures, and say where they are."""
    if not results.measures:
        return
    from natlb.bench.picture import draw
    from natlb.bench.report import write

    for path in write(results, folder, name):
        note(f"written: {path}")
    picture = folder / f"{name}.svg"
    if can_draw and draw(results, picture):
        note(f"written: {picture}")


def _print(results: Results, terms: Terms) -> None:
    """Print the report, or the document."""
    from natlb.bench.report import document, markdown

    if terms.json:
        say(json.dumps(document(results), ensure_ascii=False), terms)
    else:
        say(markdown(results).rstrip(), terms)
