from __future__ import annotations

import hashlib
import random
import time

import numpy as np
import pytest

from natlb.control.policy import Member, Order
from natlb.control.policy.slots import _mix, highest_scores, ring_by


def members_of(*weights: int) -> list[Member]:
    """Return members by weight, sorted by key."""
    return [Member(10 + at, f"10.9.{at:05}:80", weight) for at, weight in enumerate(weights)]


def test_the_highest_score_wins_each_slot() -> None:
    """-weight / ln(u), worked out one by one as the papers have it."""
    members = members_of(1, 3, 1, 2, 3)
    words = [np.zeros(64, np.uint64) for _ in members]
    scores = []
    for member, word in zip(members, words, strict=True):
        digest = hashlib.blake2b(f"7/{member.key}".encode(), digest_size=8).digest()
        word[:] = np.arange(64, dtype=np.uint64) ^ np.uint64(int.from_bytes(digest, "little"))
        _mix(word, np.empty_like(word))
        scores.append(-member.weight / np.log((word >> np.uint64(12)).astype(float) * 2.0**-52))

    assert np.array_equal(highest_scores(members, 7, 64), np.argmax(scores, axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_members_that_leave_disturb_no_other(seed: int) -> None:
    """Whatever the weights: only slots of theirs change hands."""
    chance = random.Random(seed)
    members = members_of(*(chance.randint(1, 5) for _ in range(30)))
    staying = sorted(chance.sample(range(30), 20))
    before = highest_scores(members, seed, 8192)
    after = np.array(staying)[highest_scores([members[at] for at in staying], seed, 8192)]

    stays = np.isin(before, staying)
    assert (before[stays] == after[stays]).all()
    assert 0 < stays.mean() < 1


def test_a_ring_does_not_depend_on_order_or_indexes() -> None:
    """And is made once for equal members, weights, seeds and sizes."""
    members = members_of(1, 2, 3)
    order = Order(members=members, seed=3)
    other = [Member(99 - each.index, each.key, each.weight) for each in members[::-1]]
    ring = ring_by(highest_scores, order, 4096)

    assert np.array_equal(99 - ring, ring_by(highest_scores, Order(members=other, seed=3), 4096))
    for changed in (Order(members=members, seed=4), Order(members=members_of(1, 2, 4), seed=3)):
        assert not np.array_equal(ring, ring_by(highest_scores, changed, 4096))
    assert ring_by(highest_scores, order, 8192).size == 8192


def test_a_thousand_members_take_a_second_at_most() -> None:
    """Of this processor, on 65,536 slots."""
    members = members_of(*(1 + at % 7 for at in range(1000)))
    began = time.process_time()
    highest_scores(members, 1, 65536)

    assert time.process_time() - began < 1.0
