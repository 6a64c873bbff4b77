from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from natlb.core.handshake import HALF_LIFE_MS
from natlb.core.policy.least_response_time import pick_least_response_time
from natlb.core.policy.pool import NO_BACKEND_INDEX, Pool
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

needs_plain_kernels()

DRAWS = np.random.default_rng(1).integers(0, 1 << 31, 3000).tolist()


def pool_with(taken: list[int], weights: list[int] | None = None, **rest: list[int]) -> Pool:
    """Return a pool whose backends' answers take so many microseconds; 0: none was seen."""
    pool = pool_of(weights or [1] * len(taken), "least-response-time", **rest)  # type: ignore[arg-type]
    pool.notes["handshake_us"][FIRST : FIRST + len(taken)] = taken
    return pool


def fill(pool: Pool, flows: int, now: int = 0) -> list[int]:
    """Give a pool flows that stay; return how many each got."""
    found: Counter[int] = Counter()
    for draw in DRAWS[:flows]:
        backend = pick_least_response_time(pool, 0, flow_of(draw=draw, now=now))
        give_load(pool, backend, 1)
        found[backend - FIRST] += 1
    return [found[at] for at in range(int(pool.services[0]["pool_size"]))]


def test_flows_go_where_answers_take_least() -> None:
    """Inverse to the time, since what is open counts: 1 ms, 2 ms, 5 ms share as 10 to 5 to 2."""
    assert fill(pool_with([1000, 2000, 5000]), 170) == [100, 50, 20]
    assert fill(pool_with([1000, 1000], [3, 1]), 80) == [60, 20]


def test_equals_have_equal_chances() -> None:
    """Where nobody was seen yet, too (chi-square, one false alarm in a million)."""
    for taken in ([0, 0, 0, 0], [700, 900, 700, 700]):
        equals = [at for at in range(4) if taken[at] == min(taken)]
        found: Counter[int] = Counter()
        for draw in DRAWS:
            pool = pool_with(taken)
            found[pick_least_response_time(pool, 0, flow_of(draw=draw)) - FIRST] += 1
        assert_fits([found[at] for at in equals], [1] * len(equals))
        assert sum(found.values()) == sum(found[at] for at in equals)


def test_one_that_is_not_known_is_neither_flooded_nor_starved() -> None:
    """Idle beside nine that hold 20 flows each, it gets what they have, and then its share."""
    pool = pool_with([1000] * 9 + [0], loads=[20] * 9 + [0])
    fill(pool, 1)
    got = fill(pool, 20)
    assert got[9] >= 18
    got = fill(pool, 200)

    assert 17 <= got[9] <= 23


def test_with_every_known_one_full_it_still_serves() -> None:
    """Its cost is the mean, not infinite; and nobody is picked where nobody has room."""
    pool = pool_with([1000, 0], loads=[3, 0], most=[3, 1])

    assert pick_least_response_time(pool, 0, flow_of()) == FIRST + 1
    give_load(pool, FIRST + 1, 1)
    assert pick_least_response_time(pool, 0, flow_of()) == NO_BACKEND_INDEX
    assert pick_least_response_time(pool_with([]), 0, flow_of()) == NO_BACKEND_INDEX


def test_one_that_was_slow_is_tried_again() -> None:
    """Its average halves while nobody asks it: a hundred times slower costs a minute."""
    pool = pool_with([1000, 100_000], loads=[5, 0])
    for at, now in enumerate(range(0, 8 * HALF_LIFE_MS, HALF_LIFE_MS)):
        pool.notes[FIRST]["handshake_ms"] = now
        tried = pick_least_response_time(pool, 0, flow_of(now=now)) == FIRST + 1
        assert tried == (at >= 5)  # 100 ms / 32 is less than six flows of 1 ms


def test_slow_start_holds_back() -> None:
    """A tenth of the weight, so a tenth of the flows."""
    pool = pool_with([1000, 1000])
    start_slowly(pool, FIRST + 1, began_ms=0, seconds=10)

    got = fill(pool, 220)
    assert got[1] == pytest.approx(20, abs=2)


def test_the_mean_follows_what_is_picked() -> None:
    """By an eighth of the difference each time; a shadow has one of its own."""
    pool = pool_with([800])
    pick_least_response_time(pool, 0, flow_of())
    assert pool.own[0] == 800
    pool.notes[FIRST]["handshake_us"] = 1600
    pick_least_response_time(pool, 0, flow_of())

    assert pool.own[0] == 900
    assert not pool.own[1:].any()
