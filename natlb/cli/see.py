"""Commands that read: status, services, backends, flows, stats. They change nothing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from natlb.cli.options import (
    Terms,
    WatchCommand,
    filter_argument,
    json_option,
    shared,
    watch_option,
)
from natlb.cli.output import copy, repeat
from natlb.cli.tables import (
    backends_table,
    flows_table,
    services_table,
    stats_text,
    status_text,
)
from natlb.model import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from natlb.model import Backend, FlowFilter

NOT_READY = 1


def as_json(value: object) -> str:
    """Return a value of the model as its document, on one line."""
    return json.dumps(to_json(value))


@click.command(cls=WatchCommand)
@shared()
@json_option
@watch_option
@click.pass_obj
def status(terms: Terms, watch: float | None) -> int:
    """Say whether packets are forwarded; exit code 1 if not."""
    verdict = NOT_READY

    def view() -> str:
        nonlocal verdict
        value = terms.client.status()
        verdict = 0 if value.ready else NOT_READY
        return as_json(value) if terms.json else status_text(value)

    repeat(view, watch, terms)
    return verdict


@click.command(cls=WatchCommand)
@shared()
@json_option
@watch_option
@click.pass_obj
def services(terms: Terms, watch: float | None) -> None:
    """List services, and below each its backends."""
    rates = Rates()

    def view() -> str:
        client = terms.client
        if terms.json:
            return as_json(client.services())
        pool = client.backends()
        return services_table(client.services(), pool, rates.of(pool))

    repeat(view, watch, terms)


class Rates:
    """New flows a second of each backend, from one look to the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without a look."""
        self._clock = clock
        self._then = 0.0
        self._totals: dict[str, int] = {}

    def of(self, backends: Sequence[Backend]) -> Mapping[str, float]:
        """Return the rates since the last look; a backend seen for the first time has none."""
        now = self._clock()
        totals = {f"{each.service}/{each.name}": each.flows.total for each in backends}
        seconds = max(now - self._then, 1e-3)
        known = totals.keys() & self._totals.keys()
        rates = {name: max(0, totals[name] - self._totals[name]) / seconds for name in known}
        self._then, self._totals = now, totals
        return rates


@click.command(cls=WatchCommand)
@shared()
@json_option
@watch_option
@click.argument("service", required=False)
@click.pass_obj
def backends(terms: Terms, watch: float | None, service: str | None) -> None:
    """List the backends of SERVICE, or of all services."""

    def view() -> str:
        value = terms.client.backends(service)
        return as_json(value) if terms.json else backends_table(value)

    repeat(view, watch, terms)


@click.command(cls=WatchCommand)
@shared()
@json_option
@watch_option
@filter_argument
@click.pass_obj
def flows(terms: Terms, watch: float | None, wanted: FlowFilter) -> None:
    """List flows, those that all FILTERs describe.

    Filters: service=web backend=b2 client=198.51.100.0/24 state=established protocol=tcp
    """
    if terms.json and watch is None:
        copy(lambda output: terms.client.copy_flows(output, wanted))
        return

    def view() -> str:
        found = terms.client.flows(wanted)
        return as_json(found) if terms.json else flows_table(found)

    repeat(view, watch, terms)


@click.command(cls=WatchCommand)
@shared()
@json_option
@watch_option
@click.pass_obj
def stats(terms: Terms, watch: float | None) -> None:
    """Show all counters, with the reasons of every drop."""

    def view() -> str:
        value = terms.client.stats()
        return as_json(value) if terms.json else stats_text(value)

    repeat(view, watch, terms)
