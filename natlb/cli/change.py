"""Commands that change a running instance: reload, drain, maint, ready, weight, flush."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from natlb.cli.options import (
    BackendName,
    Terms,
    backend_argument,
    filter_argument,
    json_option,
    refuse_later,
    shared,
)
from natlb.cli.output import say
from natlb.cli.see import as_json

if TYPE_CHECKING:
    from natlb.model import Backend, BackendStateName, FlowFilter, Reload

MAX_WEIGHT = 65535


def _show_backend(backend: Backend, terms: Terms) -> None:
    flows = f"{backend.flows.current} flow{'' if backend.flows.current == 1 else 's'}"
    text = f"{backend.service}/{backend.name}: {backend.state}, weight {backend.weight}, {flows}"
    say(as_json(backend) if terms.json else text, terms)


def _set_state(terms: Terms, backend: BackendName, state: BackendStateName) -> None:
    _show_backend(terms.client.set_backend(*backend, state=state), terms)


@click.command()
@shared()
@json_option
@click.option(
    "--wait", is_flag=True, hidden=True, is_eager=True, expose_value=False, callback=refuse_later
)
@click.option("--deadline", hidden=True, is_eager=True, expose_value=False, callback=refuse_later)
@backend_argument
@click.pass_obj
def drain(terms: Terms, backend: BackendName) -> None:
    """Give a backend no new flows; those it has go on."""
    _set_state(terms, backend, "draining")


@click.command()
@shared()
@json_option
@backend_argument
@click.pass_obj
def maint(terms: Terms, backend: BackendName) -> None:
    """Give a backend no new flows, and reset those it has."""
    _set_state(terms, backend, "maint")


@click.command()
@shared()
@json_option
@backend_argument
@click.pass_obj
def ready(terms: Terms, backend: BackendName) -> None:
    """Give a backend new flows again."""
    _set_state(terms, backend, "ready")


class _Weight(click.IntRange):
    """A weight, called in errors what it is."""

    name = "whole number"


@click.command()
@shared()
@json_option
@backend_argument
@click.argument("weight", type=_Weight(0, MAX_WEIGHT), metavar="N")
@click.pass_obj
def weight(terms: Terms, backend: BackendName, weight: int) -> None:
    """Set a backend's weight: its share of new flows by policies that weigh; 0 is none."""
    _show_backend(terms.client.set_backend(*backend, weight=weight), terms)


@click.command()
@shared()
@json_option
@click.option("--reset", is_flag=True, help="Tell both ends of each TCP flow.")
@filter_argument
@click.pass_obj
def flush(terms: Terms, wanted: FlowFilter, *, reset: bool) -> None:
    """Drop flows, those that all FILTERs describe; without a filter, all.

    Filters: service=web backend=b2 client=198.51.100.0/24 state=established protocol=tcp
    """
    done = terms.client.flush(wanted, reset=reset)
    text = f"{done.flushed} flows dropped, {done.resets} resets sent"
    say(as_json(done) if terms.json else text, terms)


@click.command()
@shared()
@json_option
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="This file from now on, not the present one.",
)
@click.pass_obj
def reload(terms: Terms, config: Path | None) -> None:
    """Put the configuration in force anew: all, or on an error nothing."""
    done = terms.client.reload(None if config is None else str(config.absolute()))
    say(as_json(done) if terms.json else _difference(done), terms)


def _difference(done: Reload) -> str:
    """Return the generation and a line for each thing that is different."""
    lines = [f"generation {done.generation}"]
    for mark, names in (("+", done.added), ("-", done.removed), ("~", done.changed)):
        lines += [f"{mark} {name}" for name in names]
    lines += [f"draining {name}" for name in done.drained]
    return "\n".join(lines if len(lines) > 1 else [f"{lines[0]}, nothing changed"])
