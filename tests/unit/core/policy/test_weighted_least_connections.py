from __future__ import annotations

from collections import Counter

import numpy as np

from natlb.core.policy.weighted_least_connections import pick_weighted_least_connections
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of

needs_plain_kernels()


def test_loads_become_as_the_weights_are() -> None:
    """Each flow stays: 4, 3 and 2 of nine."""
    pool = pool_of([4, 3, 2])
    for draw in np.random.default_rng(1).integers(0, 1 << 31, 900):
        give_load(pool, pick_weighted_least_connections(pool, 0, flow_of(draw=int(draw))), 1)

    assert pool.loads[FIRST : FIRST + 3].tolist() == [400, 300, 200]


def test_fractions_are_compared_whole() -> None:
    """3/4 is less than 4/5, which is less than 5/6: rounded down, all are none."""
    pool = pool_of([6, 5, 4], loads=[5, 4, 3])
    assert pick_weighted_least_connections(pool, 0, flow_of()) == FIRST + 2
    give_load(pool, FIRST + 2, 1)

    assert pick_weighted_least_connections(pool, 0, flow_of()) == FIRST + 1


def test_the_idle_are_equals() -> None:
    """Nothing by a weight is nothing (chi-square, one false alarm in a million)."""
    found = Counter(
        pick_weighted_least_connections(pool_of([9, 1, 1], loads=[0, 0, 1]), 0, flow_of(draw=draw))
        for draw in np.random.default_rng(2).integers(0, 1 << 31, 2000).tolist()
    )

    assert_fits([found[FIRST], found[FIRST + 1]], [1, 1])
    assert sum(found.values()) == found[FIRST] + found[FIRST + 1]


def test_what_opens_weighs_as_much_as_what_is_established() -> None:
    """A burst of SYNs spreads, as it does not with IPVS's load of 256 for active ones alone."""
    pool = pool_of([2, 1], loads=[20, 10])
    for _ in range(30):
        backend = pick_weighted_least_connections(pool, 0, flow_of())
        give_load(pool, backend, 1)
        pool.counts[backend]["opening"] += 1

    assert pool.counts["opening"][FIRST : FIRST + 2].tolist() == [20, 10]
