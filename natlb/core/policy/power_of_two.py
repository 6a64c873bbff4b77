"""Power of two choices: two are drawn, and the less loaded one is taken.

Mitzenmacher, "The power of two choices in randomized load balancing" (2001): n flows thrown on n
backends at random give the fullest one about ln n / ln ln n of them, with two choices each about
ln ln n / ln 2. No state is kept and nobody is the least loaded of all, so balancers that know
nothing of each other do not all rush to the same backend (nginx: `random two least_conn`).
"""

from __future__ import annotations

from natlb.core.policy.draws import draw_other
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool, load_of, weight_now
from natlb.jit import rare_kernel


@rare_kernel
def pick_power_of_two(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the one of two drawn backends that has fewer flows for its weight.

    Both are drawn by weight and differ where two have room. Of equals the first drawn is taken.
    """
    first = draw_other(pool, choice, flow, NO_BACKEND_INDEX)
    if first == NO_BACKEND_INDEX:
        return NO_BACKEND_INDEX
    second = draw_other(pool, choice, flow, first)
    if second == NO_BACKEND_INDEX:
        return first
    # load / weight, multiplied crosswise: 24 bits each
    of_first = load_of(pool, first) * weight_now(pool, second, flow.now)
    of_second = load_of(pool, second) * weight_now(pool, first, flow.now)
    return second if of_second < of_first else first
