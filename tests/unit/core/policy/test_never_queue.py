from __future__ import annotations

from collections import Counter

import numpy as np

from natlb.core.policy.never_queue import pick_never_queue
from natlb.core.policy.shortest_expected_delay import pick_shortest_expected_delay
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of

needs_plain_kernels()

DRAWS = np.random.default_rng(1).integers(0, 1 << 31, 3000).tolist()


def test_an_idle_one_is_taken_at_once() -> None:
    """However light; the heavy one would be quicker still by its weight."""
    pool = pool_of([1, 9, 1], loads=[0, 1, 3])

    assert pick_never_queue(pool, 0, flow_of()) == FIRST
    assert pick_shortest_expected_delay(pool, 0, flow_of()) == FIRST + 1


def test_any_of_the_idle_may_be_it() -> None:
    """Whatever they weigh, and not the first (chi-square, one false alarm in a million)."""
    pool = pool_of([1, 9, 1, 4], loads=[0, 0, 2, 0])
    found = Counter(pick_never_queue(pool, 0, flow_of(draw=draw)) - FIRST for draw in DRAWS)

    assert_fits([found[0], found[1], found[3]], [1, 1, 1])
    assert found[2] == 0


def test_with_nobody_idle_it_is_the_shortest_expected_delay() -> None:
    """The same pick from the same draw, as loads grow."""
    pool = pool_of([1, 2, 5], loads=[1, 1, 1])
    for draw in DRAWS[:200]:
        backend = pick_never_queue(pool, 0, flow_of(draw=draw))
        assert backend == pick_shortest_expected_delay(pool, 0, flow_of(draw=draw))
        give_load(pool, backend, 1)

    assert pool.loads[FIRST : FIRST + 3].tolist() == [25, 51, 127]
