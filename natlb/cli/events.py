"""`natlb events`: what natlb changed and noticed, a line for each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from natlb.cli.options import Terms, json_option, shared
from natlb.cli.output import say
from natlb.cli.see import as_json

if TYPE_CHECKING:
    from natlb.model import Event

COLOURS = {"warning": "yellow", "error": "red"}


@click.command()
@shared()
@json_option
@click.option("--follow", is_flag=True, help="Go on with what happens, until interrupted.")
@click.option(
    "--since",
    type=click.IntRange(0, 10**18 - 1),
    metavar="NUMBER",
    help="What came after the event of this number.",
)
@click.pass_obj
def events(terms: Terms, since: int | None, *, follow: bool) -> None:
    """Show what natlb changed and noticed lately, oldest first: its last 1,000 events.

    --follow goes on when control is replaced; what was missed is told as a gap.
    """
    found = terms.client.events(since, follow=follow)
    if terms.json and not follow:
        say(as_json(list(found)), terms)
        return
    for event in found:
        say(as_json(event) if terms.json else event_text(event), terms)
        sys.stdout.flush()


def event_text(event: Event) -> str:
    """Return an event as one line, whatever is in its fields: when, how bad, what, of whom."""
    from natlb.control.log import spelled  # which loads what writes logs

    level = click.style(spelled(event.level), fg=COLOURS.get(event.level))
    head = f"{spelled(event.at)} {level} {spelled(event.kind)}"
    if event.kind == "gap":
        return f"{head} {_missed(event)}"
    fields = (f"{spelled(name)}={spelled(value)}" for name, value in event.fields.items())
    return " ".join([head, *fields])


def _missed(event: Event) -> str:
    """Return which events are kept no more; those of an instance that ended were others."""
    after, before = event.fields.get("after"), event.fields.get("before")
    if isinstance(after, int) and isinstance(before, int) and after + 1 < before:
        return f"events {after + 1} to {before - 1} are kept no more"
    return f"natlb was started anew, its events before {before} may not be shown"
