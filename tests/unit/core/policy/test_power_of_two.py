from __future__ import annotations

import math
from collections import Counter

import pytest

from natlb.core.policy.pool import NO_BACKEND_INDEX
from natlb.core.policy.power_of_two import pick_power_of_two
from natlb.core.policy.random import pick_random
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

needs_plain_kernels()
NAME = "power-of-two"


def test_of_two_the_less_loaded_is_taken() -> None:
    """Always, since both are drawn; whoever comes first."""
    pool = pool_of([1, 1], NAME, loads=[6, 5])

    assert {pick_power_of_two(pool, 0, flow_of(draw=draw)) for draw in range(200)} == {FIRST + 1}


@pytest.mark.parametrize(("loads", "taken"), [((7, 2), 0), ((8, 2), None), ((9, 2), 1)])
def test_load_is_seen_in_proportion_to_weight(loads: tuple[int, int], taken: int | None) -> None:
    """Four times the weight carries four times the flows; of equals the first drawn is taken."""
    pool = pool_of([4, 1], NAME, loads=loads)
    found = {pick_power_of_two(pool, 0, flow_of(draw=draw)) for draw in range(300)}

    assert found == ({FIRST, FIRST + 1} if taken is None else {FIRST + taken})


def test_equals_get_flows_by_weight() -> None:
    """An idle pool is drawn from as by `weighted-random`; false alarms: 1e-6."""
    pool = pool_of([1, 2, 4, 13], NAME)
    got = Counter(pick_power_of_two(pool, 0, flow_of(draw=draw)) for draw in range(4000))

    assert_fits([got[FIRST + at] for at in range(4)], (1, 2, 4, 13))


def test_the_most_loaded_of_all_is_never_taken() -> None:
    """Each of the others as often as pairs have it for their least; false alarms: 1e-6."""
    pool = pool_of([1] * 5, NAME, loads=[1, 2, 3, 4, 5])
    got = Counter(pick_power_of_two(pool, 0, flow_of(draw=draw)) for draw in range(4000))

    assert got[FIRST + 4] == 0
    assert_fits([got[FIRST + at] for at in range(4)], (4, 3, 2, 1))


def test_a_weight_in_slow_start_carries_less() -> None:
    """Half of its weight carries half of the flows."""
    pool = pool_of([1, 1], NAME, loads=[8, 5])
    start_slowly(pool, FIRST + 1, began_ms=0, seconds=10)
    found = {pick_power_of_two(pool, 0, flow_of(draw=draw, now=5000)) for draw in range(200)}

    assert found == {FIRST}


def test_where_one_has_room_it_is_taken() -> None:
    """Also of a pool of one; and nobody where nobody has."""
    pool = pool_of([1, 65535, 65535], NAME, loads=[9, 1, 1], most=[10, 1, 1])
    assert {pick_power_of_two(pool, 0, flow_of(draw=draw)) for draw in range(50)} == {FIRST}

    give_load(pool, FIRST, 1)
    assert pick_power_of_two(pool, 0, flow_of(draw=1)) == NO_BACKEND_INDEX
    assert pick_power_of_two(pool_of([3], NAME, loads=[5]), 0, flow_of(draw=1)) == FIRST


def test_the_largest_loads_and_weights_stay_within_63_bits() -> None:
    """24 bits of flows times 24 of weight."""
    pool = pool_of([65535, 65535], NAME, loads=[(1 << 24) - 1, (1 << 24) - 2])

    assert pick_power_of_two(pool, 0, flow_of(draw=1)) == FIRST + 1


def test_two_choices_are_far_better_than_one() -> None:
    """As many flows as backends: the fullest has about ln ln n / ln 2 of them, or one more.

    By one choice it has about ln n / ln ln n, and that is twice as many for 1,000.
    """
    two, one = pool_of([1] * 1000, NAME), pool_of([1] * 1000, "random")
    for draw in range(1000):
        give_load(two, pick_power_of_two(two, 0, flow_of(draw=draw)), 1)
        give_load(one, pick_random(one, 0, flow_of(draw=draw)), 1)

    assert two.loads.max() <= math.log(math.log(1000)) / math.log(2) + 1.3  # 4
    assert one.loads.max() > two.loads.max()
