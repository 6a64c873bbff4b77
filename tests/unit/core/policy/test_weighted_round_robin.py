from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from natlb.core.layout import WEIGHT_ONE
from natlb.core.policy.pool import NO_BACKEND_INDEX, smooth_of
from natlb.core.policy.weighted_round_robin import MOST_AHEAD, pick_weighted_round_robin
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.core.policy import Pool

needs_plain_kernels()
NAME = "weighted-round-robin"


def turns(pool: Pool, picks: int, now: int = 0, choice: int = 0) -> str:
    """Return who is picked, by letter in the order of the pool; `-` for nobody."""
    flow = flow_of(now=now)
    found = [pick_weighted_round_robin(pool, choice, flow) for _ in range(picks)]
    return "".join("-" if each == NO_BACKEND_INDEX else chr(97 + each - FIRST) for each in found)


def reweigh(pool: Pool, weights: Sequence[int]) -> Pool:
    """Return the pool as the next generation has it: new weights, what was kept is kept."""
    return pool_of(weights, NAME)._replace(notes=pool.notes, own=pool.own, loads=pool.loads)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((5, 1, 1), "aabacaa"),  # as nginx's change log gives it
        ((4, 3, 2), "abcabacba"),  # IPVS: aababcabc
        ((1, 1, 1), "abc"),
        ((1, 2), "bab"),
        ((3, 0x7FFF - 3 + 0x8000), "b" * 10),
        ((65535,), "a"),
    ],
)
def test_turns_are_as_published(weights: tuple[int, ...], expected: str) -> None:
    """And begin anew after as many picks as the weights sum to, with nothing left over."""
    pool = pool_of(weights, NAME)

    assert turns(pool, len(expected)) == expected
    if len(expected) % sum(weights) == 0:
        assert not pool.notes["smooth"].any()
        assert turns(pool, len(expected)) == expected


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_ever_far_from_its_share(seed: int) -> None:
    """At any moment, not only at the end of a round: that is what smooth means."""
    chance = random.Random(seed)
    weights = [chance.choice((1, 2, 3, 50, 65535)) for _ in range(chance.randint(2, 12))]
    pool, got = pool_of(weights, NAME), [0] * len(weights)
    for picks in range(1, 400):
        got[pick_weighted_round_robin(pool, 0, flow_of()) - FIRST] += 1
        for count, weight in zip(got, weights, strict=True):
            assert -MOST_AHEAD < count - picks * weight / sum(weights) < 1


def test_who_is_full_neither_adds_nor_wins() -> None:
    """The others share as if it were not there; its claim does not grow meanwhile."""
    pool = pool_of([5, 1, 1], NAME, most=[1, 0, 0], loads=[1])
    assert turns(pool, 6) == "bcbcbc"
    assert smooth_of(pool, 0, FIRST) == 0

    give_load(pool, FIRST, -1)
    assert turns(pool, 7) == "aabacaa"


def test_nobody_has_room() -> None:
    """And nothing is changed by asking; nor in an empty pool."""
    pool = pool_of([2, 1], NAME)
    assert turns(pool, 1) == "a"
    kept = pool.notes.copy(), pool.own.copy()
    pool.backends["max_flows"] = 1
    for index in (FIRST, FIRST + 1):
        give_load(pool, index, 1)

    assert turns(pool, 3) == "---"
    assert (pool.notes == kept[0]).all()
    assert (pool.own == kept[1]).all()
    assert turns(pool_of([], NAME), 1) == "-"


def test_little_of_a_heavy_pool_is_not_many_turns_of_a_light_one() -> None:
    """Where the heavy one fills up, the others take turns soon; by what they kept, in 300 picks."""
    pool = pool_of([1000, 1, 1], NAME, most=[5])
    while turns(pool, 1) != "b":
        pass
    give_load(pool, FIRST, 5)
    assert smooth_of(pool, 0, FIRST + 1) < -600 * WEIGHT_ONE
    assert smooth_of(pool, 0, FIRST + 2) > 300 * WEIGHT_ONE

    later = turns(pool, 40)
    assert "a" not in later
    assert later.endswith(("bc" * 10, "cb" * 10))
    assert abs(later.count("b") - later.count("c")) <= 4


def test_a_weight_that_falls_takes_its_claim_along() -> None:
    """From 65,535 each to 1 each: even again soon, not after 32,767 turns."""
    pool = pool_of([65535, 65535, 1], NAME)
    assert turns(pool, 7) == "abababa"
    later = turns(reweigh(pool, [1, 1, 1]), 30)

    assert all(abs(later.count(letter) - 10) <= 3 for letter in "abc")


@pytest.mark.parametrize("claim", [-(1 << 62), -(10**9), -1, 1, 10**9, 1 << 62])
def test_who_comes_back_with_an_old_claim_gets_few_turns_more_or_less(claim: int) -> None:
    """Three at the most, whatever the index had kept from earlier pools."""
    pool = pool_of([4, 3, 2], NAME)
    turns(pool, 9)
    pool.notes["smooth"][FIRST + 2] = claim

    assert abs(turns(pool, 90).count("c") - 20) <= 3


def test_what_another_policy_kept_is_no_harm() -> None:
    """A service's words are not cleared when its policy changes."""
    for word in (-(1 << 63), -5, 7, (1 << 63) - 1):
        pool = pool_of([5, 1, 1], NAME)
        pool.own[:8] = word

        assert turns(pool, 7) == "aabacaa"


def test_a_pool_that_changes_all_the_time_keeps_its_bounds() -> None:
    """Weights, limits and company at random: no current weight runs away."""
    chance, pool = random.Random(5), pool_of([1] * 6, NAME)
    for _ in range(300):
        pool = reweigh(pool, [chance.choice((1, 7, 65535)) for _ in range(6)])
        pool.backends["max_flows"][FIRST:] = [chance.choice((0, 0, 1)) for _ in range(6)]
        pool.loads[FIRST : FIRST + 6] = 1
        turns(pool, chance.randint(1, 20))
        assert np.abs(pool.notes["smooth"]).max() <= (MOST_AHEAD + 1) * 6 * 65535 * WEIGHT_ONE


def test_the_largest_pools_stay_within_63_bits() -> None:
    """65,535 backends of the largest weight: a sum of 40 bits."""
    pool = pool_of([65535] * 65535, NAME, indexes=range(65535))

    assert [pick_weighted_round_robin(pool, 0, flow_of()) for _ in range(2)] == [0, 1]
    assert pool.own[0] == 65535 * 65535 * WEIGHT_ONE < 1 << 40


def test_a_weight_in_slow_start_counts_as_far_as_it_has_risen() -> None:
    """A tenth at first, half of it in the middle, all of it in the end."""
    for now, expected in ((0, 10), (5_000, 50), (10_000, 100)):
        pool = pool_of([1, 1], NAME)
        start_slowly(pool, FIRST + 1, began_ms=0, seconds=10)
        found = turns(pool, 100 + expected, now)
        assert found.count("b") == pytest.approx(expected, abs=1)
        assert "bb" not in found


def test_a_shadow_takes_turns_of_its_own() -> None:
    """What it would have done changes nothing of what is done."""
    pool = pool_of([5, 1, 1], NAME)
    choices = pool.choices.copy()
    choices[1] = choices[0]
    pool = pool._replace(choices=choices)
    found = [(turns(pool, 1, choice=0), turns(pool, 1, choice=1)) for _ in range(7)]

    assert "".join(each[0] for each in found) == "".join(each[1] for each in found) == "aabacaa"
