"""A look in words: a row for each service, below it one for each of its backends.

Pure: values in, words out. A row's colour is its state, as in `natlb services`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.model import Backend, Service
    from natlb.tui.look import History, Key, Look

COLUMNS = (
    "Service / backend",
    "Address",
    "Weight",
    "State",
    "Health",
    "Check",
    "Flows",
    "New/s",
    "In/s",
    "Out/s",
    "Handshake",
    "Trend",
)
RIGHT = frozenset({"Weight", "Check", "Flows", "New/s", "In/s", "Out/s", "Handshake"})
BARS = "▁▂▃▄▅▆▇█"
UNITS = ("B", "kB", "MB", "GB", "TB")
COLOURS = {"draining": "yellow", "maint": "blue", "down": "red", "up": "green"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table; `backend` is None in a service's."""

    service: str
    backend: str | None
    cells: tuple[str, ...]
    colour: str

    @property
    def key(self) -> str:
        """Return what the row is about, which no other row is."""
        return self.service if self.backend is None else f"{self.service}/{self.backend}"


def rows_of(history: History) -> list[Row]:
    """Return the rows of the last look, in the order of the configuration."""
    look = history.last
    if look is None:
        return []
    pools: defaultdict[str, list[Backend]] = defaultdict(list)
    for each in look.backends:
        pools[each.service].append(each)
    found = []
    for service in look.services:
        own = pools[service.name]
        found.append(_service_row(service, own, history))
        found += [_backend_row(each, history) for each in own]
    return found


def _service_row(service: Service, own: list[Backend], history: History) -> Row:
    pool = service.backends
    paces = [history.paces[each.service, each.name] for each in own]
    colour = "green" if pool.up == pool.total else "yellow" if pool.up else "red"
    return Row(
        service=service.name,
        backend=None,
        colour=f"bold {colour}",
        cells=(
            service.name,
            service.listen[0] + (" …" if len(service.listen) > 1 else ""),
            service.policy,
            f"{pool.up} of {pool.total} up",
            "",
            "",
            str(service.flows.current),
            _number(service.new_flows_per_second),
            _octets(_sum(pace.bytes_original for pace in paces)),
            _octets(_sum(pace.bytes_reply for pace in paces)),
            "",
            "",
        ),
    )


def _backend_row(backend: Backend, history: History) -> Row:
    key: Key = backend.service, backend.name
    pace, check = history.paces[key], backend.check
    return Row(
        service=backend.service,
        backend=backend.name,
        colour=_colour(backend),
        cells=(
            f"  {backend.name}",
            backend.address,
            _weight(backend),
            backend.state + (" backup" if backend.backup else ""),
            backend.health + (f" {check.code}" if check else ""),
            f"{check.latency_ms:.1f} ms" if check else "",
            str(backend.flows.current),
            _number(pace.new_flows),
            _octets(pace.bytes_original),
            _octets(pace.bytes_reply),
            _seconds(pace.handshake),
            sparkline(history.handshakes[key]),
        ),
    )


def _colour(backend: Backend) -> str:
    if backend.state != "ready":
        return COLOURS[backend.state]
    return COLOURS.get(backend.health, "green")


def _weight(backend: Backend) -> str:
    now, weight = backend.effective_weight, backend.weight
    return f"{now:g}/{weight}" if 0 < now != weight else str(weight)


def headline(look: Look) -> str:
    """Return what a person asks first."""
    status = look.status
    pools = [service.backends for service in look.services]
    up, total = sum(pool.up for pool in pools), sum(pool.total for pool in pools)
    flows = sum(service.flows.current for service in look.services)
    word = "ready" if status.ready else "not ready"
    changes = f", {len(status.changes)} changed at run time" if status.changes else ""
    return (
        f"{word}, {status.engine}, generation {status.generation}: "
        f"{up} of {total} backends up, {flows} flows{changes}"
    )


def sparkline(values: Iterable[float | None]) -> str:
    """Return values as bars, the highest full; a blank where there was none."""
    found = list(values)
    most = max((value for value in found if value is not None), default=0.0)
    return "".join(" " if value is None else _bar(value, most) for value in found)


def _bar(value: float, most: float) -> str:
    return BARS[min(len(BARS) - 1, int(value / most * len(BARS)))] if most > 0 else BARS[0]


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"


def _octets(value: float | None) -> str:
    if value is None:
        return "-"
    unit = 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{_number(value)} {UNITS[unit]}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.2f} ms" if value < 1 else f"{value:.2f} s"
