"""What a simulation came to: a table for people, one document for programs. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.simulation.measures import Report
    from natlb.simulation.run import Scenario
    from natlb.simulation.stage import Arena

HEAD = (
    *("Policy", "Flows", "Refused", "Broken", "Max/mean", "Variation", "Peak/mean"),
    *("Fairness", "In a row", "Herd", "Wait p50", "Wait p99"),
)
MICROSECONDS = 1_000_000


def simulated_text(reports: Sequence[Report]) -> str:
    """Return a table with a row for each policy, and one of who moved where backends changed."""
    blocks = [_table([HEAD, *(_row(report) for report in reports)])]
    if any(report.disruptions for report in reports):
        blocks.append(_table(_moves(reports)))
    return "\n\n".join(blocks)


def _row(report: Report) -> tuple[str, ...]:
    flows, balance, herd, waits = (
        report.flows,
        report.balance,
        report.herd,
        report.waiting_seconds,
    )
    return (
        report.policy,
        str(flows.offered),
        str(flows.refused_in_all),
        str(flows.broken),
        _figure(balance.max_to_mean),
        _figure(balance.variation),
        _figure(balance.peak_to_mean),
        _figure(report.fairness),
        str(herd.in_a_row),
        f"{herd.in_a_handshake} of {herd.came_then}",
        "-" if waits is None else f"{waits.p50:.3g} s",
        "-" if waits is None else f"{waits.p99:.3g} s",
    )


def _moves(reports: Sequence[Report]) -> list[tuple[str, ...]]:
    """Return who was given another backend at each change: of all clients, and who had to be."""
    changes = [f"{each.change} at {each.at_seconds:g} s" for each in reports[0].disruptions]
    rows = [("Clients moved (had to)", *changes)]
    for report in reports:
        moved = [
            "-"
            if each.changed is None or each.necessary is None
            else f"{100 * each.changed:.2f} % ({100 * each.necessary:.2f} %)"
            for each in report.disruptions
        ]
        rows.append((report.policy, *moved))
    return rows


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows with their columns aligned: the first to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([click.style(lines[0], bold=True), *lines[1:]])


def simulated_document(
    arena: Arena, scenario: Scenario, reports: Sequence[Report]
) -> dict[str, Any]:
    """Return all figures, and what they are of."""
    pairs = zip(arena.names, arena.weights, strict=True)
    return {
        "seed": arena.seed,
        "service": arena.service,
        "flows": int(scenario.workload.starts.size),
        "span_seconds": scenario.workload.span_us / MICROSECONDS,
        "servers": scenario.servers,
        "backends": [
            {"name": name, "weight": weight, "slow": scenario.slowness.get(name, 1.0)}
            for name, weight in pairs
        ],
        "policies": [asdict(report) for report in reports],
    }
