"""Commands that print what a monitor reads: a dashboard, and rules for alerts."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import click

from natlb.cli.options import shared
from natlb.cli.output import say

if TYPE_CHECKING:
    from natlb.cli.options import Terms


def _print(name: str, terms: Terms) -> None:
    text = files("natlb.cli").joinpath(name).read_text(encoding="utf-8")
    say(text.rstrip("\n"), terms)


@click.command()
@shared()
@click.pass_obj
def grafana(terms: Terms) -> None:
    """Print a dashboard for Grafana 10 or newer, to be imported there."""
    _print("grafana.json", terms)


@click.command()
@shared()
@click.pass_obj
def alerts(terms: Terms) -> None:
    """Print alert rules for Prometheus, to be named under rule_files."""
    _print("alerts.yaml", terms)
