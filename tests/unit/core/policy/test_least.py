from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from natlb.core.layout import WEIGHT_ONE
from natlb.core.policy.least import (
    Measure,
    draw_one_of,
    is_as_it_seems,
    pick_least_loaded,
    pick_with_care,
)
from natlb.core.policy.pool import NO_BACKEND_INDEX, Pool, has_room, load_of
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

needs_plain_kernels()

WEIGHTED = Measure(coming=0, idle=0, is_weighted=True)
EXPECTED = Measure(coming=1, idle=1, is_weighted=True)
UNWEIGHTED = Measure(coming=0, idle=0, is_weighted=False)
DRAWS = [int(draw) for draw in np.random.default_rng(7).integers(0, 1 << 31, 6000)]


def picked(pool: Pool, measure: Measure, now: int = 0) -> Counter[int]:
    """Return how often each place of a pool is picked, with nothing changed in between."""
    found: Counter[int] = Counter()
    for draw in DRAWS:
        found[pick_least_loaded(pool, 0, flow_of(draw=draw, now=now), measure) - FIRST] += 1
    return found


def full(pool: Pool) -> list[int]:
    """Return who of a pool has no room: whoever is drawn first, and needs care."""
    return [at for at in range(FIRST, pool.backends.size) if not has_room(pool, at)]


def test_a_draw_takes_each_of_some_alike() -> None:
    """From the first to the last, in equal parts of what may be drawn."""
    assert [draw_one_of(4, draw << 29) for draw in range(4)] == [0, 1, 2, 3]
    assert draw_one_of(5, (1 << 31) - 1) == 4
    assert draw_one_of(5, 0) == 0


@pytest.mark.parametrize("measure", [WEIGHTED, EXPECTED, UNWEIGHTED])
def test_it_is_who_a_search_over_fractions_finds(measure: Measure) -> None:
    """Pools of all sizes, some backends full: a division of whole fractions is the judge."""
    random = np.random.default_rng(11)
    for _ in range(300):
        size = int(random.integers(1, 9))
        weights, loads = random.integers(1, 4, size).tolist(), random.integers(0, 7, size).tolist()
        most = (random.integers(0, 2, size) * random.integers(1, 9, size)).tolist()
        pool = pool_of(weights, loads=loads, most=most)
        if not measure.is_weighted:
            weights = [1] * size
        costs = {
            FIRST + at: (loads[at] + measure.coming) * 6 // weights[at]  # 6: 1, 2 and 3 divide it
            for at in range(size)
            if has_room(pool, FIRST + at)
        }
        least = {index for index, cost in costs.items() if cost == min(costs.values())}
        draw = int(random.integers(0, 1 << 31))
        found = {pick_least_loaded(pool, 0, flow_of(draw=draw), measure)}
        found |= {pick_with_care(pool, 0, flow_of(draw=draw), measure, at) for at in full(pool)}
        assert found <= (least or {NO_BACKEND_INDEX})


@pytest.mark.parametrize(
    ("loads", "most", "equals"),
    [
        ([0] * 7, [], range(7)),
        ([3, 1, 1, 3, 1, 2, 3], [], (1, 2, 4)),
        ([3, 1, 1, 3, 1, 2, 3], [9, 9, 9, 9, 9, 9, 9], (1, 2, 4)),
        ([3, 1, 1, 3, 1, 2, 3], [0, 1, 0, 0, 0, 0, 0], (2, 4)),
        ([3, 1, 1, 3, 1, 3, 2], [0, 1, 1, 0, 1, 0, 3], (6,)),
        ([2, 1, 2, 2], [0, 1, 0, 0], (0, 2, 3)),
    ],
)
@pytest.mark.parametrize("measure", [WEIGHTED, UNWEIGHTED])
def test_equals_have_equal_chances(
    loads: list[int], most: list[int], equals: tuple[int, ...], measure: Measure
) -> None:
    """Chi-square at one false alarm in a million: full ones among the least take nobody's share."""
    found = picked(pool_of([1] * len(loads), loads=loads, most=most), measure)

    assert set(found) == set(equals)
    if len(equals) > 1:
        assert_fits([found[at] for at in equals], [1] * len(equals))


def test_in_slow_start_each_flow_counts_as_many_times_as_the_share_is_smaller() -> None:
    """A tenth of the weight: ten times, and it takes part in a tenth of the picks."""
    pool = pool_of([1, 1, 5], loads=[30, 31, 155])
    start_slowly(pool, FIRST + 1, began_ms=0, seconds=10)
    give_load(pool, FIRST + 1, -27)

    assert set(picked(pool, WEIGHTED)) == {0}
    give_load(pool, FIRST + 1, -2)
    for measure in (WEIGHTED, UNWEIGHTED, EXPECTED):
        found = picked(pool, measure)
        assert set(found) == {0, 1}
        assert_fits([found[0], found[1]], [9, 1])
    assert set(picked(pool, WEIGHTED, now=10**6)) == {1}


@pytest.mark.parametrize("measure", [WEIGHTED, EXPECTED, UNWEIGHTED])
def test_of_idle_equals_one_in_slow_start_has_its_share_of_an_equal_chance(
    measure: Measure,
) -> None:
    """Not the square of it, as if it had to win twice (chi-square, one false alarm in a million).

    Two of five, each at half of its weight; the three others have the rest in equal parts. Who is
    in by its lot has an equal chance with whoever else is: 1/4 beside one that is not, else 1/5.
    """
    pool = pool_of([1] * 5)
    for at in (1, 3):
        start_slowly(pool, FIRST + at, began_ms=0, seconds=10)
    found = picked(pool, measure, now=5000)
    share = (1 / 4 + 1 / 5) / 4

    assert_fits(
        [found[at] for at in range(5)],
        [1 - 2 * share if at % 2 == 0 else 3 * share for at in range(5)],
    )


@pytest.mark.parametrize("measure", [WEIGHTED, EXPECTED, UNWEIGHTED])
def test_where_nobody_is_in_by_its_lot_all_with_room_are_picked_from(measure: Measure) -> None:
    """All of a pool came at once: each gets as much as the others, and none with a full one."""
    pool = pool_of([1] * 4, most=[0, 0, 1, 0], loads=[0, 0, 1, 0])
    for at in range(4):
        start_slowly(pool, FIRST + at, began_ms=0, seconds=10)
    found = picked(pool, measure)

    assert set(found) == {0, 1, 3}
    assert_fits([found[at] for at in (0, 1, 3)], [1, 1, 1])


def test_one_is_as_it_seems_with_room_and_its_whole_weight() -> None:
    """Everything else needs care."""
    pool = pool_of([1, 1, 1], loads=[3, 3, 3], most=[4, 3, 0])
    assert [is_as_it_seems(pool, FIRST + at) for at in range(3)] == [True, False, True]
    start_slowly(pool, FIRST, began_ms=0, seconds=10)

    assert not is_as_it_seems(pool, FIRST)


@pytest.mark.parametrize("measure", [WEIGHTED, EXPECTED, UNWEIGHTED])
def test_nobody_is_picked_where_nobody_has_room(measure: Measure) -> None:
    """Nor of a pool of nobody."""
    assert set(picked(pool_of([1, 2], loads=[1, 2], most=[1, 2]), measure)) == {-1 - FIRST}
    assert set(picked(pool_of([]), measure)) == {-1 - FIRST}


def test_the_largest_loads_and_weights_are_told_apart() -> None:
    """Products stay exact: 2^24 flows, and weights of 65,535."""
    pool = pool_of([65535, 65534], loads=[(1 << 24) - 1, (1 << 24) - 257])

    assert load_of(pool, FIRST) * 65534 < load_of(pool, FIRST + 1) * 65535
    assert set(picked(pool, WEIGHTED)) == {0}
    assert pool.backends[FIRST]["weight"] == 65535 * WEIGHT_ONE
