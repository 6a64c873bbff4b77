from __future__ import annotations

from collections import Counter

from natlb.core.policy.pool import NO_BACKEND_INDEX
from natlb.core.policy.weighted_random import pick_weighted_random
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of

needs_plain_kernels()


def test_everyone_is_as_likely_as_it_weighs() -> None:
    """4,000 draws in a row from a pool of ten; false alarms: 1e-6."""
    weights = [1, 2, 3, 4, 5, 6, 7, 8, 9, 55]
    pool = pool_of(weights, "weighted-random")
    got = Counter(pick_weighted_random(pool, 0, flow_of(draw=draw)) for draw in range(4000))

    assert_fits([got[FIRST + at] for at in range(10)], weights)


def test_a_full_pool_has_nobody() -> None:
    """It is no use to draw on."""
    pool = pool_of([1, 1], "weighted-random", loads=[1, 1], most=[1, 1])

    assert pick_weighted_random(pool, 0, flow_of(draw=3)) == NO_BACKEND_INDEX
