"""Source hash: a client's address alone decides, so one client stays with one backend."""

from __future__ import annotations

from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool, is_admitted, pick_next
from natlb.jit import i64, kernel

TRIES = 16  # slots looked at; then the pool is gone through


@kernel
def pick_source_hash(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that owns this client's slot of the ring, or one of the slots behind it.

    Reads the ring and nothing else: two balancers with the same seed and backends agree. How
    slots are given to backends, and how few move with a change, is said by the compiling half.
    """
    record = pool.choices[choice]
    size = record["ring_size"]
    if size == 0:
        return NO_BACKEND_INDEX
    for step in range(TRIES):
        at = record["ring_start"] + (flow.spread_hash + step) % size
        backend = i64(pool.rings[at])
        if is_admitted(pool, backend, flow):
            return backend
    return pick_next(pool, choice, flow.spread_hash, flow)
