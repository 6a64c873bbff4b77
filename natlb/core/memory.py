"""The shape of the data plane's memory: which arrays, of which records, how long.

The same arrays lie in memfds (`io/shared.py`) for processes and in plain memory for the engine.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from natlb.core.commands import Commands
from natlb.core.counters import Counters
from natlb.core.elsewhere import Loads
from natlb.core.events import Events
from natlb.core.flow_table import FlowTable
from natlb.core.layout import (
    ACCESS_STEP,
    AFFINITY,
    BACKEND,
    BUCKET,
    BUCKETS,
    CHOICE,
    CHOICES,
    COMMAND,
    COUNT,
    DRAWS,
    ENDPOINT,
    EPOCH,
    EVENT,
    FRESH,
    HANDSHAKE_BUCKETS,
    INDEX_SLOTS_PER_FLOW,
    KEY0,
    KEY1,
    META,
    MOST_AFFINITIES,
    MOST_BACKENDS,
    MOST_EVENTS,
    MOST_PROGRAMS,
    MOST_SERVICES,
    NOTE,
    POLICY_WORDS,
    PROGRAM_WORDS,
    REASONS,
    RING,
    ROW,
    ROWS,
    SERVICE,
    SOURCE_ADDRESS,
    STATES,
    SWEEP,
    TOTALS,
    WAY,
    WORKER,
    WORKERS,
)
from natlb.core.next_hops import (
    ANSWERED,
    LENGTHS,
    LINK,
    NEIGHBOUR,
    NEXT_HOP_NUMBERS,
    ROUTE,
    TABLES,
    NextHops,
)
from natlb.core.tables import TABLE_NUMBERS, Tables

LEAST_BUCKETS = 64
SECRET_BYTES = 12


class Kind(IntEnum):
    """What a memfd holds."""

    FLOWS = 1
    COUNTERS = 2
    TABLES = 3
    COMMANDS = 4
    EVENTS = 5
    NEXT_HOPS = 6
    LOADS = 7


class Shape(NamedTuple):
    """One array of a memfd: its record and its shape; -1 is read from the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


INT64 = np.dtype(np.int64)
SHAPES: dict[Kind, tuple[Shape, ...]] = {
    Kind.FLOWS: (
        Shape("rows", ROW, (-1,)),
        Shape("buckets", np.dtype(np.uint32), (-1,)),
        Shape("meta", INT64, (len(META),)),
    ),
    Kind.COUNTERS: (
        Shape("totals", INT64, (len(TOTALS),)),
        Shape("drops", INT64, (REASONS,)),
        Shape("replies", INT64, (REASONS,)),
        Shape("backends", COUNT, (MOST_BACKENDS,)),
        Shape("services", COUNT, (MOST_SERVICES,)),
        Shape("notes", NOTE, (MOST_BACKENDS,)),
        Shape("policy", INT64, (MOST_SERVICES * CHOICES * POLICY_WORDS,)),
        Shape("programs", np.dtype(np.float64), (MOST_PROGRAMS, PROGRAM_WORDS)),
        Shape("affinities", AFFINITY, (MOST_AFFINITIES,)),
        Shape("handshakes", INT64, (MOST_BACKENDS, HANDSHAKE_BUCKETS)),
        Shape("loads", INT64, (MOST_BACKENDS,)),
    ),
    Kind.TABLES: (
        Shape("endpoints", ENDPOINT, (-1,)),
        Shape("services", SERVICE, (-1,)),
        Shape("choices", CHOICE, (-1,)),
        Shape("backends", BACKEND, (-1,)),
        Shape("rings", np.dtype(np.int32), (-1,)),
        Shape("timeouts", INT64, (-1, STATES)),
        Shape("ways", WAY, (-1,)),
        Shape("access", ACCESS_STEP, (-1,)),
        Shape("sources", SOURCE_ADDRESS, (-1,)),
        Shape("numbers", INT64, (len(TABLE_NUMBERS),)),
    ),
    Kind.COMMANDS: (
        Shape("ring", COMMAND, (RING,)),
        Shape("counts", INT64, (2,)),
    ),
    Kind.EVENTS: (
        Shape("ring", EVENT, (MOST_EVENTS,)),
        Shape("counts", INT64, (2,)),
    ),
    Kind.NEXT_HOPS: (
        Shape("links", LINK, (-1,)),
        Shape("routes", ROUTE, (-1,)),
        Shape("neighbours", NEIGHBOUR, (-1,)),
        Shape("lengths", INT64, (TABLES, LENGTHS)),
        Shape("numbers", INT64, (len(NEXT_HOP_NUMBERS),)),
        Shape("answered", ANSWERED, (-1,)),
        Shape("vlans", INT64, (-1,)),
    ),
    Kind.LOADS: (
        Shape("backends", INT64, (-1, MOST_BACKENDS)),
        Shape("opening", INT64, (-1, MOST_BACKENDS)),
        Shape("services", INT64, (-1, MOST_SERVICES)),
    ),
}
TUPLES: dict[Kind, Any] = {
    Kind.FLOWS: FlowTable,
    Kind.COUNTERS: Counters,
    Kind.TABLES: Tables,
    Kind.COMMANDS: Commands,
    Kind.EVENTS: Events,
    Kind.NEXT_HOPS: NextHops,
    Kind.LOADS: Loads,
}


def load_items(workers: int) -> dict[str, int]:
    """Return the lengths of the arrays of LOADS."""
    return dict.fromkeys(("backends", "opening", "services"), workers)


def bucket_count(max_flows: int) -> int:
    """Return how many index buckets a table for `max_flows` has: 15 octets a flow, 64 at least."""
    return max(LEAST_BUCKETS, int(max_flows * INDEX_SLOTS_PER_FLOW) // BUCKET)


def flow_items(max_flows: int) -> dict[str, int]:
    """Return the lengths of a flow table's arrays; row 0 is never used."""
    return {"rows": max_flows + 1, "buckets": bucket_count(max_flows) * BUCKET}


def start_flows(
    flows: FlowTable,
    max_flows: int,
    secret: bytes,
    epoch_ns: int,
    *,
    worker: int = 0,
    workers: int = 1,
) -> None:
    """Set the numbers of a table whose memory is all zero; `secret` is 12 random octets.

    It is that of one worker among so many.
    """
    key0, key1, draws = np.frombuffer(secret, np.uint32)
    flows.meta[ROWS] = max_flows
    flows.meta[BUCKETS] = bucket_count(max_flows)
    flows.meta[FRESH] = 1
    flows.meta[SWEEP] = 1
    flows.meta[KEY0] = key0
    flows.meta[KEY1] = key1
    flows.meta[DRAWS] = int(draws) | 1  # xorshift never leaves zero
    flows.meta[EPOCH] = epoch_ns
    flows.meta[WORKER] = worker
    flows.meta[WORKERS] = workers


def make(kind: Kind, **items: int) -> Any:
    """Return the arrays of a kind in this process's own memory, all zero.

    `items` gives the length of each array whose length is not fixed; of others there is nothing.
    """
    arrays = []
    for shape in SHAPES[kind]:
        count = items.get(shape.name, max(shape.shape[0], 0))
        arrays.append(np.zeros((count, *shape.shape[1:]), shape.dtype))
    return TUPLES[kind](*arrays)
