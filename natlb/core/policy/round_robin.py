"""Round robin: each backend in turn, whatever its weight (IPVS: ip_vs_rr.c)."""

from __future__ import annotations

from natlb.core.layout import POLICY_WORDS
from natlb.core.policy.pool import NO_BACKEND_INDEX, Pool
from natlb.jit import i64, kernel


@kernel
def pick_round_robin(pool: Pool, service: int, spread_hash: int, draw: int) -> int:  # noqa: ARG001
    """Return the backend whose turn it is.

    The turn is kept as a position, so after a change of the pool it goes on from about there.
    """
    record = pool.services[service]
    size = record["ring_size"]
    if size == 0:
        return NO_BACKEND_INDEX
    turn = pool.own[service * POLICY_WORDS] % size
    pool.own[service * POLICY_WORDS] = turn + 1
    return i64(pool.rings[record["ring_start"] + turn])
