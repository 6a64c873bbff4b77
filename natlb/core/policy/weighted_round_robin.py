"""Smooth weighted round robin: turns by weight, each backend's as far apart as they can be.

nginx: ngx_http_upstream_round_robin.c, since 1.3.1. Each pick adds to every backend's current
weight its weight, takes the backend with the largest (of equal ones the first), and takes the sum
of all weights from that one. Weights 5, 1, 1 give a a b a c a a; the walk of IPVS (ip_vs_wrr.c)
gives a a a a a b c, and 4, 3, 2 come as a a b a b c a b c there, as a b c a b a c b a here.

Laws
    A backend without room neither adds nor wins: its current weight waits.
    The current weights of those that take part sum to what they did before.
    Each lies within -1 and +2 times the sum of weights of the pick before, or is taken to there.
    With constant weights none leaves these bounds, but one that waited, or whose weight or
    company has changed, may hold what was little then and is 65,535 turns now.
"""

from __future__ import annotations

from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NewFlow,
    Pool,
    has_room,
    own_word,
    pool_span,
    set_smooth,
    smooth_of,
    weight_now,
)
from natlb.jit import i64, rare_kernel

MOST_AHEAD = 2  # sums of weights; 1.5 is the most that random pools of constant weights reached
INDEX = 0x7FFFFFFF  # what a backend's index may be: so the compiler knows that it is not negative
LEAST = -1 << 62  # less than any current weight


@rare_kernel
def pick_weighted_round_robin(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that is furthest behind its share, of those that have room.

    Looks at the whole pool: about 2 ns for each backend, half of it saved by INDEX and by having no
    branch on who is ahead. The first word of its own is the sum of
    weights at its last pick; 0 at first, so that it begins from current weights of 0. Where the
    pool has become lighter since, or another policy left the word, the pool's weights bound it.
    """
    first, size = pool_span(pool, choice)
    bound = min(max(0, pool.own[own_word(choice, 0)]), i64(pool.choices[choice]["weights"]))
    best, largest, total = NO_BACKEND_INDEX, LEAST, 0
    for member in pool.rings[first : first + size]:
        backend = i64(member) & INDEX
        if has_room(pool, backend):
            weight = weight_now(pool, backend, flow.now)
            kept = min(max(smooth_of(pool, choice, backend), -bound), MOST_AHEAD * bound)
            set_smooth(pool, choice, backend, kept + weight)
            total += weight
            best = backend if kept + weight > largest else best
            largest = max(largest, kept + weight)
    if best != NO_BACKEND_INDEX:
        set_smooth(pool, choice, best, largest - total)
        pool.own[own_word(choice, 0)] = total
    return best
