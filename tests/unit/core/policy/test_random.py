from __future__ import annotations

from collections import Counter

from natlb.core.policy.pool import NO_BACKEND_INDEX
from natlb.core.policy.random import pick_random
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of

needs_plain_kernels()


def test_everyone_is_as_likely_whatever_it_weighs() -> None:
    """4,000 draws in a row from a pool of ten; false alarms: 1e-6."""
    pool = pool_of([1, 65535] * 5, "random")
    got = Counter(pick_random(pool, 0, flow_of(draw=draw)) for draw in range(4000))

    assert_fits([got[FIRST + at] for at in range(10)], [1] * 10)


def test_the_draw_alone_decides() -> None:
    """Neither the client nor what was picked before."""
    pool = pool_of([1] * 10, "random")

    assert len({pick_random(pool, 0, flow_of(spread, draw=9)) for spread in range(20)}) == 1
    assert not pool.own.any()


def test_a_full_pool_has_nobody() -> None:
    """It is no use to draw on."""
    pool = pool_of([1, 1], "random", loads=[1, 1], most=[1, 1])

    assert pick_random(pool, 0, flow_of(draw=3)) == NO_BACKEND_INDEX
