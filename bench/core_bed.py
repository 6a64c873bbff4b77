"""A core to measure on: the memory that a worker has, loads of packets for it, and the clock."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.core_driver import BATCH, PARSED, WHOLE, Load, drive, pick_often, sweep
from bench.results import MeasureError
from natlb.bench import forge
from natlb.bench.forge import TCP, UDP
from natlb.control.compile import Indices, Sides, compile_tables
from natlb.control.config import config_from_mapping
from natlb.core.assembly import assemble
from natlb.core.batch import make_batch
from natlb.core.entry import pick_type
from natlb.core.layout import CURRENT, FORWARDED
from natlb.core.memory import SECRET_BYTES, Kind, flow_items, make, start_flows
from natlb.core.policy import pick
from natlb.io.shared import attach, create, create_flows, create_tables, touch
from natlb.jit import compile_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.bench.forge import Ends
    from natlb.core.flow_table import FlowTable

VIP = "203.0.113.10"
PORTS = {UDP: 53, TCP: 80}
BACKENDS = [f"10.77.0.{11 + number}:8080" for number in range(8)]
CONFIG = {
    "services": {
        "udp": {"listen": f"udp://{VIP}:{PORTS[UDP]}", "backends": BACKENDS},
        "tcp": {"listen": f"tcp://{VIP}:{PORTS[TCP]}", "backends": BACKENDS},
        "hashed": {
            "listen": f"tcp://{VIP}:81",
            "policy": "source-hash",
            "backends": BACKENDS,
        },
    }
}
TABLE = 1_000_000  # rows, also where fewer flows are visited: the configuration's own default
CLIENTS = "198.51.100.2"
CLIENT_ADDRESSES = 20  # that flows come from; their ports do the rest
PORTS_OF_CLIENT = 50_000
PAYLOAD = 18  # octets of a datagram in the smallest frame of Ethernet, 64 octets
HEADER_WORDS = {UDP: 4, TCP: 5}
NOW = 1000

Memory = Literal["shared", "private"]


class Bed:
    """A core over an empty table."""

    def __init__(
        self, *, memory: Memory = "shared", touched: bool = True, rows: int = TABLE
    ) -> None:
        """Make all memory: memfds as a worker has them, or `private` memory as an engine has."""
        config = config_from_mapping(CONFIG)
        indices = Indices().assign(config, set(), set())
        tables = compile_tables(
            config, indices=indices, run_time={}, sides=Sides(), seed=1, generation=1
        )
        flows = shared_flows(rows) if memory == "shared" else private_flows(rows)
        if touched:
            touch(flows)
        self.services = indices.services
        self.core = assemble(
            mapped(Kind.TABLES, create_tables(tables), writable=False),
            flows,
            mapped(Kind.COUNTERS, create(Kind.COUNTERS)),
            make_batch(BATCH),
        )
        self._slots = self.core.batch.slots.view(np.uint64)
        self._prepare()

    def _prepare(self) -> None:
        """Compile the loops, or load them from the cache."""
        nothing = np.zeros(0, np.int64)
        load = Load(self._slots, np.zeros((0, 4), np.uint64), nothing, nothing)
        picks = pick_type(self.core)
        compile_for(drive, self.core, load, NOW, 1, WHOLE, picks)
        compile_for(pick_often, self.core, 0, 1, picks)

    def load(self, octets: NDArray[np.uint8], ways: NDArray[np.int64] | int) -> Load:
        """Return packets as a load, filled up to whole batches from its beginning."""
        count, length = octets.shape
        rows = np.resize(np.arange(count), -(-count // BATCH) * BATCH)
        headers = forge.words_of(octets[rows], HEADER_WORDS[int(octets[0, 9])])
        lengths = np.full(rows.size, length, np.int64)
        return Load(self._slots, headers, np.broadcast_to(ways, count)[rows], lengths)

    def take(self, load: Load, stage: int, rounds: int = 1) -> float:
        """Return how many nanoseconds a packet took as far as `stage`.

        The load is taken `rounds` times. Raises MeasureError unless all packets came through.
        """
        before = self._forwarded()
        began = time.perf_counter_ns()
        came = drive(self.core, load, NOW, rounds, stage, pick)
        taken = time.perf_counter_ns() - began
        if stage == WHOLE:
            came = self._forwarded() - before
        sent = rounds * load.ways.size
        if stage >= PARSED and came != sent:
            raise MeasureError(f"{came} of {sent} packets came through")
        return taken / sent

    def pauses(self, now: int) -> list[float]:
        """Return how many milliseconds each step of the sweep took that ended what has run out.

        Of the thread's own time: what else the machine does is no pause of natlb's.
        """
        compile_for(sweep, self.core, now)
        taken = []
        while self.core.flows.meta[CURRENT] > 0:
            began = time.thread_time_ns()
            sweep(self.core, now)
            taken.append((time.thread_time_ns() - began) / 1e6)
        return taken

    def pick(self, service: str, count: int) -> float:
        """Return how many nanoseconds this service's policy takes for a flow."""
        began = time.perf_counter_ns()
        pick_often(self.core, self.services[service], count, pick)
        return (time.perf_counter_ns() - began) / count

    def answers_to(self, calls: Ends) -> Ends:
        """Return the ends of the backends' answers; the flows were made in the order of `calls`."""
        rows = self.core.flows.rows[1 : calls.source.size + 1]
        if (rows["original"]["source_port"] != calls.source_port).any():
            raise MeasureError("flows are not in the order they were made")
        backends = self.core.tables.backends[rows["backend"]]
        address, port = backends["address3"].astype(np.int64), backends["port"].astype(np.int64)
        return calls.back()._replace(source=address, source_port=port)

    def _forwarded(self) -> int:
        return int(self.core.counters.totals[FORWARDED])


def mapped(kind: Kind, fd: int, *, writable: bool = True) -> Any:
    """Return a memfd's arrays, and close the descriptor: the mapping holds the memory."""
    try:
        return attach(kind, fd, writable=writable)
    finally:
        os.close(fd)


def shared_flows(rows: int) -> FlowTable:
    """Return an empty table in a memfd."""
    flows: FlowTable = mapped(Kind.FLOWS, create_flows(rows, os.urandom(SECRET_BYTES), 0))
    return flows


def private_flows(rows: int) -> FlowTable:
    """Return an empty table in memory of this process alone."""
    flows: FlowTable = make(Kind.FLOWS, **flow_items(rows))
    start_flows(flows, rows, os.urandom(SECRET_BYTES), 0)
    return flows


def calls_of(count: int, protocol: int) -> Ends:
    """Return the ends of so many flows' first packets."""
    addresses = max(CLIENT_ADDRESSES, -(-count // PORTS_OF_CLIENT))
    return forge.call(count, CLIENTS, addresses, VIP, PORTS[protocol])
