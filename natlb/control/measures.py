"""Everything that metrics tell of an instance, read at one moment; who writes it down decides how.

Only what a monitor can add up: no flow and no client is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.control.compile.measures import HANDSHAKE_BOUNDS, handshakes_of
from natlb.core.layout import FIRST_LIVE, FRESH, PROTOCOLS, ROWS
from natlb.core.tables import SOURCES4, SOURCES6
from natlb.core.verdict import DropReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from natlb.control.compile import Snapshot
    from natlb.control.compile.indices import BackendName
    from natlb.control.compile.measures import Handshakes
    from natlb.control.tally import Tally, TallyCounts
    from natlb.core.flow_table import FlowTable
    from natlb.model import Backend, Statistics, Status

ROWS_AT_ONCE = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The numbers of an instance; `ports` are by service, backend and protocol."""

    status: Status
    statistics: Statistics
    backends: list[Backend]
    tally: TallyCounts
    drops: Mapping[str, int]  # by reason, those never seen too
    flows_max: int
    ports: Mapping[tuple[str, str, str], int]
    handshake_bounds: tuple[float, ...]  # in seconds, rising
    handshakes: Mapping[BackendName, Handshakes]


def measure(
    snapshot: Snapshot, *, status: Status, statistics: Statistics, tally: Tally
) -> Measures:
    """Return the numbers of an instance."""
    return Measures(
        status=status,
        statistics=statistics,
        backends=snapshot.list_backends(),
        tally=tally.read(snapshot.indices),
        drops={str(reason): statistics.drops.get(str(reason), 0) for reason in DropReason},
        flows_max=sum(int(table.meta[ROWS]) for table in snapshot.flows),
        ports=ports_used(snapshot),
        handshake_bounds=HANDSHAKE_BOUNDS,
        handshakes=handshakes_of(snapshot.config, snapshot.indices, snapshot.counters),
    )


def ports_used(snapshot: Snapshot) -> dict[tuple[str, str, str], int]:
    """Return how many ports of natlb's own the flows of each backend hold, by its protocols.

    Nothing is there to count where natlb has no addresses of its own; else the rows are read,
    which takes 60 ms for a million of them.
    """
    numbers = snapshot.tables.numbers
    if not int(numbers[SOURCES4]) + int(numbers[SOURCES6]):
        return {}
    counted = {name: np.zeros(1 << 16, np.int64) for name in PROTOCOLS}
    for table in snapshot.flows:
        for start in range(1, int(table.meta[FRESH]), ROWS_AT_ONCE):
            _add_ports(counted, table, start, min(start + ROWS_AT_ONCE, int(table.meta[FRESH])))
    return {
        (service.name, backend.name, protocol): int(
            counted[protocol][snapshot.indices.backends[service.name, backend.name]]
        )
        for service in snapshot.config.services.values()
        for protocol in sorted({listen.protocol for listen in service.listen})
        for backend in service.backends
    }


def _add_ports(
    counted: Mapping[str, NDArray[np.int64]], table: FlowTable, start: int, end: int
) -> None:
    rows = table.rows[start:end]
    held = (rows["state"] >= FIRST_LIVE) & _has_own_source(rows)
    backends, protocols = rows["backend"][held].astype(np.int64), rows["protocol"][held]
    for name, protocol in PROTOCOLS.items():
        size = counted[name].size
        counted[name][:] += np.bincount(backends[protocols == protocol], minlength=size)[:size]


def _has_own_source(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Return in which rows the backend answers to another endpoint than the client's."""
    original, reply = rows["original"], rows["reply"]
    differs: NDArray[np.bool_] = original["source_port"] != reply["destination_port"]
    for lane in range(4):
        differs |= original[f"source{lane}"] != reply[f"destination{lane}"]
    return differs
