"""Commands that change a running instance and its pools, or save what was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from natlb.cli.options import (
    BackendName,
    SecondsType,
    Terms,
    backend_argument,
    filter_argument,
    json_option,
    shared,
)
from natlb.cli.output import note, say
from natlb.cli.see import as_json
from natlb.cli.tables import change_text

if TYPE_CHECKING:
    from natlb.model import Backend, BackendStateName, FlowFilter, Reload, Saved

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
@click.option("--wait", is_flag=True, help="Wait until it has no flow, and show how many are left.")
@click.option(
    "--deadline",
    type=SecondsType(),
    metavar="SECONDS",
    help="With --wait: then reset what is left, at both ends, and exit with 1.",
)
@backend_argument
@click.pass_obj
def drain(terms: Terms, backend: BackendName, deadline: float | None, *, wait: bool) -> int:
    """Give a backend no new flows; those it has go on."""
    if wait:
        from natlb.cli.draining import Draining

        return Draining(terms, backend, deadline).run()
    if deadline is not None:
        raise click.UsageError("--deadline goes with --wait")
    _set_state(terms, backend, "draining")
    return 0


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
@click.option("--name", metavar="NAME", help="What to call it; by default its address.")
@click.option("--weight", type=_Weight(0, MAX_WEIGHT), metavar="N", help="Its weight, or else 1.")
@click.argument("service")
@click.argument("address")
@click.pass_obj
def add(terms: Terms, service: str, address: str, name: str | None, weight: int | None) -> None:
    """Add a backend to the pool of SERVICE, at ADDRESS or ADDRESS:PORT.

    It stays until natlb ends, or in the file after natlb config save.
    """
    _show_backend(terms.client.add_backend(service, address, name=name, weight=weight), terms)


@click.command()
@shared()
@json_option
@backend_argument
@click.pass_obj
def remove(terms: Terms, backend: BackendName) -> None:
    """Remove a backend from its pool; its flows go on, or are reset, as on_remove says."""
    gone = terms.client.remove_backend(*backend)
    flows = f"{gone.flows.current} flow{'' if gone.flows.current == 1 else 's'}"
    say(as_json(gone) if terms.json else f"{gone.service}/{gone.name}: removed, had {flows}", terms)


@click.group()
def config() -> None:
    """Write what was changed at run time into the configuration file."""


@config.command()
@shared()
@json_option
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.pass_obj
def save(terms: Terms, *, dry_run: bool) -> None:
    """Save weights, added and removed backends into the file, comments and all else kept."""
    client = terms.client
    done = client.save_config(dry_run=dry_run)
    say(as_json(done) if terms.json else _saved(done, dry_run=dry_run), terms)
    for each in client.status().changes:
        if each.field == "state":
            note(f"not saved, a file has no states: {each.backend} is {each.now}")


def _saved(done: Saved, *, dry_run: bool) -> str:
    """Return a line for each change, and where they are now."""
    if not done.changes:
        return f"{done.config}: nothing to save"
    did = "would be saved" if dry_run else "saved"
    lines = [f"{each.backend}: {change_text(each)}" for each in done.changes]
    return "\n".join([f"{done.config}: {did}", *lines])


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
