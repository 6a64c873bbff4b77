"""Policies: how a new flow gets its backend. One file for each `pick()`, one line in this registry.

A policy is a pair of the same name: `pick()` here (numbers, fast, once per flow) and `compile()`
in `control/policy/` (objects, slow, once per change of the pool).
"""

from __future__ import annotations

from natlb.core.policy.pool import NO_BACKEND_INDEX, Pool
from natlb.core.policy.round_robin import pick_round_robin
from natlb.core.policy.source_hash import pick_source_hash
from natlb.jit import entry, i64

# The number of a policy is its place here: tables hold it, so new ones are added at the end.
POLICY_NAMES = ("round-robin", "source-hash")

__all__ = ["NO_BACKEND_INDEX", "POLICY_NAMES", "Pool", "pick"]


@entry
def pick(pool: Pool, service: int, spread_hash: int, draw: int) -> int:
    """Return the index of the backend that a service's policy gives to a new flow; -1 for none.

    `spread_hash` is of the client's address and the seed, `draw` a random 31-bit number. The
    pipeline takes this as an argument of a function type: another one can be swapped in.
    """
    policy = i64(pool.services[service]["policy"])
    if policy == 0:
        return pick_round_robin(pool, service, spread_hash, draw)
    if policy == 1:
        return pick_source_hash(pool, service, spread_hash, draw)
    return NO_BACKEND_INDEX
