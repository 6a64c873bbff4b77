"""What serves where a policy of the user's own gives no answer that can be used."""

from __future__ import annotations

from natlb.core.layout import WORD_FALLBACKS
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool, own_word
from natlb.core.policy.weighted_round_robin import pick_weighted_round_robin
from natlb.jit import rare_kernel


@rare_kernel
def fall_back(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend whose turn it is by weight, and count that it had to be so.

    Where nobody has room, no policy had an answer: that is not counted.
    """
    backend = pick_weighted_round_robin(pool, choice, flow)
    if backend != NO_BACKEND_INDEX:
        pool.own[own_word(choice, WORD_FALLBACKS)] += 1
    return backend
