from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from natlb.core.policy.least_connections import pick_least_connections
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

if TYPE_CHECKING:
    from natlb.core.policy.pool import Pool

needs_plain_kernels()


def fill(pool: Pool, flows: int, now: int = 0) -> list[int]:
    """Give a pool flows that stay, one after the other; return which place got each."""
    found = []
    for draw in np.random.default_rng(3).integers(0, 1 << 31, flows):
        backend = pick_least_connections(pool, 0, flow_of(draw=int(draw), now=now))
        give_load(pool, backend, 1)
        found.append(backend - FIRST)
    return found


def test_who_has_the_fewest_gets_the_next() -> None:
    """So loads become level, and stay it; weights play no part."""
    pool = pool_of([1, 7, 1], loads=[5, 2, 0], most=[])

    assert fill(pool, 2) == [2, 2]
    assert sorted(fill(pool, 6)) == [1, 1, 1, 2, 2, 2]  # 5, 5 and 5
    fill(pool, 30)
    assert pool.loads[FIRST : FIRST + 3].tolist() == [15, 15, 15]


def test_an_idle_pool_is_entered_anywhere() -> None:
    """Not at the head of the list (chi-square, one false alarm in a million)."""
    first = Counter(
        pick_least_connections(pool_of([1, 9, 1, 1]), 0, flow_of(draw=int(draw))) - FIRST
        for draw in np.random.default_rng(5).integers(0, 1 << 31, 2000)
    )

    assert_fits([first[at] for at in range(4)], [1, 1, 1, 1])


def test_what_is_closing_is_no_load() -> None:
    """It costs the backend nothing any more."""
    pool = pool_of([1, 1], loads=[9, 3])
    pool.loads[FIRST] -= 7

    assert fill(pool, 1) == [0]


def test_a_new_backend_is_not_flooded() -> None:
    """In slow start it gets a tenth of what comes, then half; without, everything that comes.

    Six standard deviations of it are 31 of the first 300 and 52 of the others.
    """
    flows = 300
    flooded, eased = pool_of([1] * 4, loads=[400] * 3), pool_of([1] * 4, loads=[400] * 3)
    start_slowly(eased, FIRST + 3, began_ms=0, seconds=30)

    assert fill(flooded, flows) == [3] * flows
    got = Counter(fill(eased, flows))
    assert 1 <= got[3] <= 30 + 31
    later = Counter(fill(eased, flows, now=15_000))
    assert 150 - 52 <= later[3] <= 150 + 52
