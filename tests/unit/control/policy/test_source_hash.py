from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from natlb.control.policy import Member, Order
from natlb.control.policy.source_hash import LEAST_SLOTS, compile_source_hash


def pool(*weights: int) -> list[Member]:
    """Return members by weight."""
    return [Member(10 + at, f"10.9.0.{at}:80", weight) for at, weight in enumerate(weights)]


def ring_of(members: list[Member], seed: int) -> Any:
    """Return the ring that is made of members."""
    return compile_source_hash(Order(members=members, seed=seed)).ring


def shares(ring: np.ndarray) -> dict[int, float]:
    """Return each member's share of the slots."""
    members, counts = np.unique(ring, return_counts=True)
    return {int(m): int(c) / ring.size for m, c in zip(members, counts, strict=True)}


def test_an_empty_pool_has_an_empty_ring() -> None:
    """Which picks nothing."""
    assert ring_of([], 1).size == 0


@pytest.mark.parametrize(
    ("members", "slots"), [(1, 4096), (256, 4096), (511, 4096), (512, 8192), (5000, 65536)]
)
def test_a_ring_has_a_power_of_two_of_slots(members: int, slots: int) -> None:
    """At least sixteen for each member, or eight where the power lies just above, up to 65,536."""
    ring = ring_of(pool(*[1] * members), 1)

    assert ring.size == slots >= LEAST_SLOTS
    assert ring.dtype == np.int32
    if members == 1:
        assert set(ring.tolist()) == {10}


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_those_of_the_weights(seed: int) -> None:
    """With three equal members on 4,096 slots, give or take four standard deviations."""
    for weights in ((1, 1, 1), (1, 2, 3), (1, 1, 1, 1, 96), (65535, 1, 65535)):
        ring = ring_of(pool(*weights), seed)
        found = shares(ring)
        for at, weight in enumerate(weights):
            share = weight / sum(weights)
            deviation = math.sqrt(share * (1 - share) / ring.size)
            assert abs(found.get(10 + at, 0) - share) < 4 * deviation


def test_equal_members_and_seeds_give_equal_rings() -> None:
    """On every node, in whatever order the file has them and whatever their numbers are."""
    members = pool(1, 2, 3, 4)
    shuffled = random.sample(members, 4)
    renumbered = [Member(99 - each.index, each.key, each.weight) for each in members]

    ring = ring_of(members, 5)
    assert (ring == ring_of(shuffled, 5)).all()
    assert (ring == 99 - ring_of(renumbered, 5)).all()
    assert (ring != ring_of(members, 6)).mean() > 0.5


@pytest.mark.parametrize("leaving", range(5))
def test_a_member_that_leaves_disturbs_no_other(leaving: int) -> None:
    """Its slots alone change hands."""
    members = pool(1, 1, 2, 1, 1)
    before = ring_of(members, 3)
    after = ring_of([m for m in members if m.index != 10 + leaving], 3)
    changed = before != after

    assert (before[changed] == 10 + leaving).all()
    assert (after != 10 + leaving).all()


def test_a_weight_that_rises_takes_slots_and_gives_none() -> None:
    """From everybody, in proportion."""
    before = ring_of(pool(1, 1, 1, 1), 3)
    after = ring_of(pool(1, 1, 1, 3), 3)
    changed = before != after

    assert (after[changed] == 13).all()
    assert changed.mean() == pytest.approx(0.25, abs=0.03)
