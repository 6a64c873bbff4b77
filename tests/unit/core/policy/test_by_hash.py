from __future__ import annotations

import random
from collections import Counter

import pytest

from natlb.core.policy import pick
from natlb.core.policy.by_hash import (
    TRIES,
    pick_by_score,
    pick_from_slots,
    score_of,
    slot_owner,
)
from natlb.core.policy.pool import NO_BACKEND_INDEX, is_admitted_by_hash
from tests.chi_square import assert_fits
from tests.datapath import engine
from tests.kernels import why_not_one_by_one
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of, start_slowly

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())

POLICIES = ["source-hash", "destination-hash", "maglev", "rendezvous"]


def spread(count: int) -> list[int]:
    """Return so many spread hashes, far apart."""
    return [number * 2654435761 & 0xFFFFFFFF for number in range(count)]


@one_by_one
@pytest.mark.parametrize("policy", POLICIES)
def test_the_hash_alone_decides(policy: str) -> None:
    """The ring is read and nothing else: neither turn nor draw."""
    pool = pool_of([1, 1, 1], policy, indexes=[4, 2, 9])
    size = int(pool.choices[0]["ring_size"])
    ring = pool.rings[pool.choices[0]["ring_start"] :]

    for hashed in (0, 1, size - 1, size, 0xFFFFFFFF):
        assert slot_owner(pool, 0, hashed) == ring[hashed % size]
        picks = {pick_from_slots(pool, 0, flow_of(hashed, draw=draw)) for draw in range(3)}
        assert picks == {ring[hashed % size]}
    assert not pool.own.any()


@one_by_one
def test_one_that_is_full_sends_its_clients_to_the_slots_behind() -> None:
    """To their owners; where nobody has room, to nobody."""
    pool = pool_of([1, 1, 1], "maglev", most=[1, 1, 1], loads=[1, 0, 0])
    full = next(h for h in spread(99) if slot_owner(pool, 0, h) == FIRST)
    behind = next(
        owner for step in range(99) if (owner := slot_owner(pool, 0, full + step)) != FIRST
    )

    assert pick_from_slots(pool, 0, flow_of(full)) == behind
    full_pool = pool_of([1], "maglev", most=[1], loads=[1])
    assert pick_from_slots(full_pool, 0, flow_of(full)) == NO_BACKEND_INDEX


@one_by_one
def test_the_walk_ends_and_the_pool_is_gone_through() -> None:
    """One of 200 has room: hardly ever among TRIES slots."""
    pool = pool_of([1] * 200, "maglev", most=[1] * 200, loads=[1] * 199 + [0])
    far = next(
        h for h in spread(99)
        if FIRST + 199 not in {slot_owner(pool, 0, h + step) for step in range(TRIES)}
    )  # fmt: skip

    assert pick_from_slots(pool, 0, flow_of(far)) == FIRST + 199


@one_by_one
def test_scores_spread_flows_over_those_with_room() -> None:
    """A third of 3,000 each, give or take six standard deviations (one false alarm in 10^8)."""
    pool = pool_of([1] * 4, "maglev", most=[0, 0, 0, 1], loads=[0, 0, 0, 1])
    got = Counter(pick_by_score(pool, 0, flow_of(hashed)) for hashed in spread(3000))

    assert set(got) == {FIRST, FIRST + 1, FIRST + 2}
    assert all(abs(count - 1000) < 6 * 26 for count in got.values())
    assert pick_by_score(pool_of([], "maglev"), 0, flow_of()) == NO_BACKEND_INDEX


@one_by_one
def test_scores_share_by_weight_what_heavy_ones_cannot_take() -> None:
    """9 to 1, as the weights of those that have room (chi-square, one false alarm in a million).

    A node that has its pool in another order agrees.
    """
    weights = [1000, 1000, 1000, 9, 1]
    pool = pool_of(weights, "maglev", most=[1, 1, 1, 0, 0], loads=[1, 1, 1, 0, 0])
    other = pool_of(
        weights[::-1], "maglev", most=[0, 0, 1, 1, 1], loads=[0, 0, 1, 1, 1],
        names=["b4", "b3", "b2", "b1", "b0"],
    )  # fmt: skip
    found = [pick_by_score(pool, 0, flow_of(hashed)) - FIRST for hashed in spread(5000)]
    there = [pick_by_score(other, 0, flow_of(hashed)) - FIRST for hashed in spread(5000)]

    assert_fits([found.count(at) for at in (3, 4)], [9, 1])
    assert found.count(3) + found.count(4) == 5000
    assert there == [4 - at for at in found]


@one_by_one
def test_who_does_not_admit_a_flow_gets_it_where_nobody_else_has_room() -> None:
    """One in slow start is better than none."""
    pool = pool_of([1, 1], "maglev", most=[0, 1], loads=[0, 0])
    start_slowly(pool, FIRST, began_ms=0, seconds=10)
    refused = next(
        flow for flow in map(flow_of, spread(99))
        if not is_admitted_by_hash(pool, FIRST, flow)
        and score_of(pool, FIRST, flow) > score_of(pool, FIRST + 1, flow)
    )  # fmt: skip

    assert pick_by_score(pool, 0, refused) == FIRST + 1
    pool.loads[FIRST + 1] = 1
    assert pick_by_score(pool, 0, refused) == FIRST


@pytest.mark.parametrize("policy", [*POLICIES, "anchor", "bounded-load"])
def test_nodes_agree_in_slow_start_and_where_most_are_full(policy: str) -> None:
    """Whatever the order and the indexes of their pools, and whatever each node draws."""
    order = list(range(40))
    orders = order, random.Random(4).sample(order, 40)
    pools = [
        pool_of(
            [1 + each % 3 for each in some],
            policy,
            names=[f"b{each}" for each in some],
            most=[4] * 40,
            loads=[4 if each % 10 else each // 20 for each in some],
        )
        for some in orders
    ]
    for some, pool in zip(orders, pools, strict=True):
        for each in (0, 20):
            start_slowly(pool, FIRST + some.index(each), began_ms=0, seconds=10)

    engine()  # types are prepared
    picks = [
        [some[pick(pool, 0, flow_of(h, draw=h % 7 * at, now=3000)) - FIRST] for h in spread(400)]
        for at, (some, pool) in enumerate(zip(orders, pools, strict=True))
    ]
    assert picks[0] == picks[1]
    assert set(picks[0]) == {0, 10, 20, 30}
