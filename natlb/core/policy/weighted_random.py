"""Weighted random: each backend as likely as its weight says.

By an alias table, in constant time: Walker, "An efficient method for generating discrete random
variables with general distributions" (1977), made as in Vose, "A linear algorithm for generating
random numbers with a given distribution" (1991).
"""

from __future__ import annotations

from natlb.core.policy.draws import draw_other
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool
from natlb.jit import rare_kernel


@rare_kernel
def pick_weighted_random(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return one of the backends that have room, by weight; its table is the choice's ring."""
    return draw_other(pool, choice, flow, NO_BACKEND_INDEX)
