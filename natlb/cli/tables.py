"""Values of the model as lines for people, in the manner of ipvsadm.

Pure: values in, lines out. Columns keep their order for ever, new ones go to the right; widths
grow with what they hold. Counts are exact up to 99,999, then with a unit: JSON has them exact.
A row's colour is its state; the writer takes colours off where no terminal reads.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from natlb.model import (
        Backend,
        ByteCounts,
        Change,
        Flow,
        FlowCounts,
        PacketCounts,
        Service,
        Shadow,
        SpreadCounts,
        Statistics,
        Status,
    )

UNITS = ("", "K", "M", "G", "T", "P")
# ipvsadm's proportions: address, policy, flows, rate.
LEFT, POLICY, FLOWS, RATE = 31, 15, 7, 8
COLOURS = {"draining": "yellow", "maint": "blue", "down": "red"}


def services_table(
    services: Sequence[Service], backends: Sequence[Backend], rates: Mapping[str, float]
) -> str:
    """Return services with their backends below them.

    `rates` are new flows a second by `service/backend`; one that is not known yet reads `-`.
    """
    rows = [_Row("Prot VIP:Port", "Policy", "Flows", "New/s", "Status")]
    for service in services:
        rows += _service_rows(service)
        own = [backend for backend in backends if backend.service == service.name]
        named = max((len(_reference(backend)) for backend in own), default=0)
        spread = service.shadow.spread if service.shadow else {}
        rows += [
            _backend_row(each, named, rates.get(_reference(each)), spread.get(each.name))
            for each in own
        ]
    left = max(LEFT, *(len(row.left) for row in rows)) + 2
    policy = max(POLICY, *(len(row.policy) + 1 for row in rows))
    return "\n".join(row.line(left, policy) for row in rows)


class _Row:
    """A line of the table of services."""

    def __init__(
        self, left: str, policy: str, flows: str, rate: str, status: str, *, colour: str = ""
    ) -> None:
        self.left, self.policy, self.flows, self.rate = left, policy, flows, rate
        self.status, self.colour = status, colour

    def line(self, left: int, policy: int) -> str:
        numbers = f"{self.flows:>{FLOWS}}{self.rate:>{RATE}}"
        text = f"{self.left:<{left}}{self.policy:<{policy}}{numbers}  {self.status}"
        return click.style(text, fg=self.colour) if self.colour else text


def _service_rows(service: Service) -> list[_Row]:
    """Return a row for each address a service listens on; numbers stand in the first alone."""
    pool = service.backends
    colour = "green" if pool.up == pool.total else "yellow" if pool.up else "red"
    rows = []
    for index, listen in enumerate(service.listen):
        protocol, _, address = listen.partition("://")
        left = f"{protocol.upper():<5}{address}"
        if index:
            rows.append(_Row(left, "", "", "", ""))
            continue
        rate, up = _rate(service.new_flows_per_second), f"{pool.up} of {pool.total} up"
        flows = amount(service.flows.current)
        status = ", ".join([up, *_choices_in_words(service)])
        rows.append(_Row(left, service.policy, flows, rate, status, colour=colour))
    return rows


def _choices_in_words(service: Service) -> list[str]:
    """Return what there is to say of a shadow, and of a policy that was at a loss."""
    words = []
    if service.shadow is not None:
        words.append(f"shadow {service.shadow.policy} {_differed(service.shadow)}")
    if service.fallbacks:
        words.append(f"{service.fallbacks} fallbacks")
    return words


def _differed(shadow: Shadow) -> str:
    """Return how often a shadow chose otherwise; nothing is no share of nothing."""
    if not shadow.compared:
        return "not asked yet"
    share = 100 * shadow.differed / shadow.compared
    return f"differs in {share:.1f}% of {amount(shadow.compared)}"


def _spread(shadow: Shadow) -> str:
    """Return what backends got, and what they would have got, in the order of the configuration."""
    if not shadow.compared:
        return ""
    return "".join(
        f", {name} got {amount(each.policy)}, shadow {amount(each.shadow)}"
        for name, each in shadow.spread.items()
    )


def _backend_row(
    backend: Backend, named: int, rate: float | None, spread: SpreadCounts | None
) -> _Row:
    status = " ".join(filter(None, (backend.state, backend.health, _checked(backend))))
    if backend.backup:
        status += ", backup"
    if spread is not None:
        status += f", got {amount(spread.policy)}, shadow {amount(spread.shadow)}"
    left = f"  -> {_reference(backend):<{named}}  {backend.address}"
    flows, weight = amount(backend.flows.current), f"w{_weight(backend)}"
    speed = "-" if rate is None else _rate(rate)
    return _Row(left, weight, flows, speed, status, colour=_colour(backend))


def _checked(backend: Backend) -> str:
    """Return how long the last check took, or by which code it failed."""
    check = backend.check
    if check is None:
        return ""
    return f"{check.latency_ms:.1f} ms" if check.status == "up" else check.code


def _weight(backend: Backend) -> str:
    """Return a weight, and in slow start what there is of it by now."""
    now, weight = backend.effective_weight, backend.weight
    return f"{now:g}/{weight}" if 0 < now != weight else str(weight)


def _reference(backend: Backend) -> str:
    return f"{backend.service}/{backend.name}"


def _colour(backend: Backend) -> str:
    if backend.state != "ready":
        return COLOURS[backend.state]
    return COLOURS.get(backend.health, "green")


def backends_table(backends: Iterable[Backend]) -> str:
    """Return backends with all that is counted for them."""
    head = "Backend Address Weight State Health Flows Opening Total InPkts OutPkts InBytes OutBytes"
    rows, colours = [[*head.split(), "", "Check", "Latency"]], [""]
    for backend in backends:
        flows = (backend.flows.current, backend.flows.opening, backend.flows.total)
        packets = (backend.packets.original, backend.packets.reply)
        octets = (backend.bytes.original, backend.bytes.reply)
        numbers = [amount(number) for number in (*flows, *packets, *octets)]
        words = [_reference(backend), backend.address, _weight(backend)]
        backup = "backup" if backend.backup else ""
        check = backend.check
        checked = ["", ""] if check is None else [check.code, f"{check.latency_ms:.1f} ms"]
        rows.append([*words, backend.state, backend.health, *numbers, backup, *checked])
        colours.append(_colour(backend))
    lines = aligned(rows, "<<><<>>>>>>><<>")
    return "\n".join(
        click.style(line, fg=colour) if colour else line
        for line, colour in zip(lines, colours, strict=True)
    )


def flows_table(flows: Iterable[Flow]) -> str:
    """Return flows, a line each; packets and bytes are original/reply."""
    rows = [["Prot", "State", "Client", "VIP", "Backend", "Idle", "Expires", "Packets", "Bytes"]]
    for flow in flows:
        times = [duration(flow.idle_seconds), duration(flow.expires_seconds)]
        packets = f"{amount(flow.packets.original)}/{amount(flow.packets.reply)}"
        octets = f"{amount(flow.bytes.original)}/{amount(flow.bytes.reply)}"
        ends = [flow.client, flow.vip, f"{flow.service}/{flow.backend}"]
        rows.append([flow.protocol.upper(), flow.state, *ends, *times, packets, octets])
    return "\n".join(aligned(rows, "<<<<<>>>>"))


def status_text(status: Status) -> str:
    """Return what a person asks first, the verdict before all."""
    word = click.style("ready", fg="green") if status.ready else click.style("not ready", fg="red")
    pids = status.pid
    workers = " ".join(map(str, pids.workers)) or "none"
    rows = [
        ["natlb", f"{status.version}, {status.engine}, {status.driver}"],
        ["generation", f"{status.generation}, {status.config}"],
        ["processes", f"supervisor {pids.supervisor}, control {pids.control}, workers {workers}"],
    ]
    rows += [
        [f"service {service.name}", f"{service.up} of {service.total} up"]
        for service in status.services
    ]
    rows += [[f"changed {change.backend}", change_text(change)] for change in status.changes]
    return "\n".join([word, *aligned(rows, "<<")])


def change_text(change: Change) -> str:
    """Return what differs from the file, without the name of what it is about."""
    if change.field == "backend" and change.file is None:
        return f"added, {change.now}"
    if change.field == "backend":
        return f"removed, {change.file} in the file"
    in_file = "" if change.file is None else f", {change.file} in the file"
    return f"{change.field} is {change.now}{in_file}"


def stats_text(stats: Statistics) -> str:
    """Return all counters, a line a subject; reasons only as far as they were seen."""
    rows = [["generation", str(stats.generation)], ["uptime", duration(stats.uptime_seconds)]]
    rows += [
        [f"worker {worker.index}", f"pid {worker.pid}, {worker.restarts} restarts"]
        for worker in stats.workers
    ]
    rows += [
        ["packets", _counts(stats.packets)],
        ["bytes", _counts(stats.bytes)],
        ["flows", _counts(stats.flows)],
        ["drops", _words(stats.drops)],
        ["replies", _words(stats.replies)],
    ]
    rows += [
        [f"shadow {name}", f"{each.policy} {_differed(each)}{_spread(each)}"]
        for name, each in (stats.shadow or {}).items()
    ]
    rows += [[f"fallbacks {name}", str(n)] for name, n in (stats.fallbacks or {}).items()]
    return "\n".join(aligned(rows, "<<"))


def _counts(counts: PacketCounts | ByteCounts | FlowCounts) -> str:
    """Return counters exactly, in the order and by the names of the model."""
    return _words({each.name: getattr(counts, each.name) for each in fields(counts)})


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def amount(number: int) -> str:
    """Return a count: exact up to 99,999, then in thousands, millions, …, cut and not rounded."""
    if number < 100_000:
        return str(number)
    unit = 0
    while number >= 10_000 and unit < len(UNITS) - 1:
        number //= 1000
        unit += 1
    return f"{number}{UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a time in two units at most: `0.1s`, `2m05s`, `1h02m`, `3d04h`."""
    if seconds < 60:
        return f"{int(seconds * 10) / 10:g}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def _rate(per_second: float) -> str:
    if per_second < 10:
        return f"{round(per_second, 1):g}/s"
    return f"{amount(round(per_second))}/s"


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return the rows as lines, each column as wide as its widest cell, two blanks between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
