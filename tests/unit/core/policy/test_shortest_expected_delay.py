from __future__ import annotations

import numpy as np

from natlb.core.policy.shortest_expected_delay import pick_shortest_expected_delay
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of

needs_plain_kernels()


def test_the_flow_that_comes_counts_too() -> None:
    """Of an idle pool the heaviest is first, and stays it until another would be quicker."""
    pool = pool_of([1, 3])
    found = []
    for draw in np.random.default_rng(1).integers(0, 1 << 31, 40):
        backend = pick_shortest_expected_delay(pool, 0, flow_of(draw=int(draw)))
        give_load(pool, backend, 1)
        found.append(backend - FIRST)

    assert found[:2] == [1, 1]  # 1/3, 2/3; then 3/3 against 1/1
    assert sorted(found[2:4]) == [0, 1]
    assert sum(found) == 30


def test_a_burst_of_openings_is_spread() -> None:
    """IPVS's sed sends it all to the heaviest, which stays at no active connection throughout."""
    pool = pool_of([1, 1, 2])
    for draw in np.random.default_rng(1).integers(0, 1 << 31, 400):
        backend = pick_shortest_expected_delay(pool, 0, flow_of(draw=int(draw)))
        give_load(pool, backend, 1)
        pool.counts[backend]["opening"] += 1

    assert pool.counts["opening"][FIRST : FIRST + 3].tolist() == [100, 100, 200]
