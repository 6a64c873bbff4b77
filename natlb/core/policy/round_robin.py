"""Round robin: each backend in turn, whatever its weight (IPVS: ip_vs_rr.c)."""

from __future__ import annotations

from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NewFlow,
    Pool,
    own_word,
    pick_next,
    pool_span,
)
from natlb.jit import kernel


@kernel
def pick_round_robin(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend whose turn it is, or the next after it that has room.

    The turn is kept as a position, so after a change of the pool it goes on from about there.
    """
    _, size = pool_span(pool, choice)
    if size == 0:
        return NO_BACKEND_INDEX
    turn = pool.own[own_word(choice, 0)] % size
    pool.own[own_word(choice, 0)] = turn + 1
    return pick_next(pool, choice, turn, flow)
