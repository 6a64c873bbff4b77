"""Source hash: a client's address alone decides, so one client stays with one backend."""

from __future__ import annotations

from natlb.core.policy.pool import NO_BACKEND_INDEX, Pool
from natlb.jit import i64, kernel


@kernel
def pick_source_hash(pool: Pool, service: int, spread_hash: int, draw: int) -> int:  # noqa: ARG001
    """Return the backend that owns this client's slot of the ring.

    Reads the ring and nothing else: two balancers with the same seed and backends agree. How
    slots are given to backends, and how few move with a change, is said by the compiling half.
    """
    record = pool.services[service]
    size = record["ring_size"]
    if size == 0:
        return NO_BACKEND_INDEX
    return i64(pool.rings[record["ring_start"] + spread_hash % size])
