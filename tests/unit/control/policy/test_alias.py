from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from natlb.control.policy import COMPILERS, Member, Order
from natlb.control.policy.alias import WHOLE, alias_table


def pool(*weights: int) -> list[Member]:
    """Return members by weight; the first has index 10."""
    return [Member(10 + at, f"b{at}", weight) for at, weight in enumerate(weights)]


def chances(members: list[Member]) -> dict[int, Fraction]:
    """Return each member's chance to be drawn from the table, exactly."""
    found = {member.index: Fraction(0) for member in members}
    table = alias_table(members).reshape(-1, 2).tolist()
    for member, (threshold, alias) in zip(members, table, strict=True):
        found[member.index] += Fraction(threshold, WHOLE * len(members))
        found[alias] += Fraction(WHOLE - threshold, WHOLE * len(members))
    return found


@pytest.mark.parametrize(
    "weights", [(1,), (1, 1), (1, 2), (65535, 1), (1, 65535, 65535), (2, 2, 1, 3), (5, 1, 1)]
)
def test_chances_are_weights(weights: tuple[int, ...]) -> None:
    """As exact as a threshold of 31 bits for each slot allows."""
    members = pool(*weights)
    for member, chance in zip(members, chances(members).values(), strict=True):
        assert abs(chance - Fraction(member.weight, sum(weights))) <= Fraction(1, WHOLE)


@pytest.mark.parametrize("seed", range(30))
def test_chances_are_weights_in_pools_at_random(seed: int) -> None:
    """Of up to 60, from all light to one that is nearly all."""
    chance = random.Random(seed)
    weights = [chance.choice((1, 2, 3, 500, 65535)) for _ in range(chance.randint(2, 60))]
    members = pool(*weights)
    for member, found in zip(members, chances(members).values(), strict=True):
        assert abs(found - Fraction(member.weight, sum(weights))) <= Fraction(1, WHOLE)


def test_equal_members_have_a_slot_each() -> None:
    """No draw leads elsewhere."""
    table = alias_table(pool(7, 7, 7)).reshape(-1, 2)

    assert table[:, 1].tolist() == [10, 11, 12]


def test_the_largest_pool_has_a_table() -> None:
    """65,535 backends of weights up to 65,535, in 32-bit words."""
    weights = [1 + at * 7919 % 65535 for at in range(65535)]
    table = alias_table(pool(*weights)).reshape(-1, 2)

    assert table.dtype == np.int32
    assert table.min() >= 0
    assert table[:, 1].max() < 10 + 65535


def test_nobody_has_an_empty_table() -> None:
    """Which picks nothing."""
    assert alias_table([]).size == 0


@pytest.mark.parametrize("policy", ["power-of-two", "weighted-random"])
def test_its_ring_is_the_alias_table(policy: str) -> None:
    """Of the pool as it is, and the seed has no part in it."""
    members = [Member(4, "b", 9), Member(2, "a", 1)]
    rings = [COMPILERS[policy](Order(members=members, seed=seed)).ring.tolist() for seed in (1, 2)]

    assert rings == [alias_table(members).tolist()] * 2
    assert COMPILERS[policy](Order(members=[])).ring.size == 0
