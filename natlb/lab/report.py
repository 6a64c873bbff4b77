"""What the demo shows, as rows: the services in the manner of ipvsadm, and the client's view.

    Prot VIP:Port                    Policy           Flows   New/s  Status     Packets     Bytes
    TCP  203.0.113.10:80             round-robin       2000   900/s  3 of 3 up    17988    2.1 MB
      -> web/b1  10.77.0.11:8080     w1                 667   300/s  ready         5997  701.2 kB

Flows, packets and bytes are those since natlb began, both directions; new flows a second are those
of the traffic's own time. Columns never change places, new ones go right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from natlb.lab.loader import Outcome
    from natlb.model import Backend, Service

STATE_STYLES = {"ready": "green", "draining": "yellow", "maint": "yellow", "down": "red"}
KIND_WORDS = {
    "connections": "HTTP, new connections",
    "requests": "HTTP, kept connections",
    "datagrams": "UDP datagrams",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line, and its colour on a terminal."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """One row of the services' table, before its columns have widths."""

    place: str
    policy: str = ""
    flows: str = ""
    rate: str = ""
    status: str = ""
    packets: str = ""
    octets: str = ""
    style: str = "bold"


def service_table(
    services: Sequence[Service], backends: Sequence[Backend], seconds: Mapping[str, float]
) -> list[Row]:
    """Return the table; `seconds` is how long each service had traffic."""
    rows = []
    for service in services:
        pool = [backend for backend in backends if backend.service == service.name]
        rows += _service_cells(service, pool, seconds.get(service.name))
        rows += [_backend_cells(each, seconds.get(service.name)) for each in pool]
    place = max([33, *(len(row.place) + 2 for row in rows)])
    status = max([9, *(len(row.status) for row in rows)])
    head = f"{'Prot VIP:Port':{place}}{'Policy':16} {'Flows':>5} {'New/s':>7}"
    head += f"  {'Status':{status}} {'Packets':>9} {'Bytes':>9}"
    return [Row(head, "bold"), *(_format(row, place, status) for row in rows)]


def _service_cells(
    service: Service, pool: Sequence[Backend], seconds: float | None
) -> list[_Cells]:
    """Return a row for each place the service listens; what it is and does stands in the first."""
    first, *more = service.listen
    return [
        _Cells(
            place=_place(first),
            policy=service.policy,
            flows=str(service.flows.total),
            rate=_rate(service.flows.total, seconds),
            status=f"{service.backends.up} of {service.backends.total} up",
            packets=str(sum(each.packets.original + each.packets.reply for each in pool)),
            octets=in_bytes(sum(each.bytes.original + each.bytes.reply for each in pool)),
        ),
        *(_Cells(place=_place(each)) for each in more),
    ]


def _rate(flows: int, seconds: float | None) -> str:
    return f"{flows / seconds:.0f}/s" if seconds else ""


def _place(listen: str) -> str:
    protocol, _, address = listen.partition("://")
    return f"{protocol.upper():4} {address}"


def _backend_cells(backend: Backend, seconds: float | None) -> _Cells:
    state = "down" if backend.health == "down" else backend.state
    return _Cells(
        place=f"  -> {backend.service}/{backend.name}  {backend.address}",
        policy=f"w{backend.effective_weight:g}",
        flows=str(backend.flows.total),
        rate=_rate(backend.flows.total, seconds),
        status=f"{backend.state} {backend.health}",
        packets=str(backend.packets.original + backend.packets.reply),
        octets=in_bytes(backend.bytes.original + backend.bytes.reply),
        style=STATE_STYLES[state],
    )


def _format(row: _Cells, place: int, status: int) -> Row:
    text = f"{row.place:{place}}{row.policy:16} {row.flows:>5} {row.rate:>7}"
    text += f"  {row.status:{status}} {row.packets:>9} {row.octets:>9}"
    return Row(text.rstrip(), row.style)


def in_bytes(octets: int) -> str:
    """Return a size with its unit, in steps of a thousand."""
    if octets < 1000:
        return f"{octets} B"
    size = float(octets)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def client_table(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return what the client saw: answers by backend, errors, time to an answer."""
    names = sorted({name for outcome in outcomes for name in outcome.backends})
    head = f"{'Service':8} {'Sent':24} {'Count':>6}" + "".join(f" {name:>6}" for name in names)
    head += f" {'Errors':>7}" + "".join(f" {each:>9}" for each in ("p50", "p90", "p99", "max"))
    return [Row(head, "bold"), *(_client_row(outcome, names) for outcome in outcomes)]


def _client_row(outcome: Outcome, names: Sequence[str]) -> Row:
    errors = sum(outcome.errors.values())
    text = f"{outcome.service:8} {KIND_WORDS[outcome.kind]:24} {outcome.sent:6}"
    text += "".join(f" {outcome.backends.get(name, 0):6}" for name in names)
    text += f" {errors:7}"
    text += "".join(f" {value:6.1f} ms" for value in outcome.latency_ms.values())
    return Row(text, "red" if errors else "")


def error_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return a row for each kind of error that the client saw."""
    return [
        Row(f"  {outcome.service}, {KIND_WORDS[outcome.kind]}: {count} x {reason}", "red")
        for outcome in outcomes
        for reason, count in outcome.errors.items()
    ]
