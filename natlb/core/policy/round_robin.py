"""Round robin: each backend in turn, whatever its weight (IPVS: ip_vs_rr.c)."""

from __future__ import annotations

from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NOWHERE,
    NewFlow,
    Pool,
    find_next,
    own_word,
    pool_span,
)
from natlb.jit import i64, kernel


@kernel
def pick_round_robin(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend whose turn it is, or the next after it that takes the flow.

    The next turn is that of who stands behind the one that took it: were it that of who stands
    behind the one whose turn it was, the neighbour of a full one would have two turns in each
    round. The turn is kept as a position, so after a change of the pool it goes on from about
    there.
    """
    first, size = pool_span(pool, choice)
    if size == 0:
        return NO_BACKEND_INDEX
    at = find_next(pool, choice, pool.own[own_word(choice, 0)] % size, flow)
    if at == NOWHERE:
        return NO_BACKEND_INDEX
    pool.own[own_word(choice, 0)] = at + 1
    return i64(pool.rings[first + at])
