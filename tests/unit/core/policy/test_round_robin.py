from __future__ import annotations

import random
from collections import Counter

import pytest

from natlb.core.layout import POLICY_WORDS
from natlb.core.policy.pool import NO_BACKEND_INDEX
from natlb.core.policy.round_robin import pick_round_robin
from natlb.testing import packets
from tests.chi_square import assert_fits
from tests.datapath import B1, B2, B3, CLIENT, VIP, engine, one_service
from tests.kernels import why_not_one_by_one
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of, start_slowly

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())


@one_by_one
def test_each_is_picked_in_its_turn() -> None:
    """In the order of the ring, and round again."""
    pool = pool_of([1, 5, 1], indexes=[4, 2, 9])

    assert [pick_round_robin(pool, 0, flow_of(77, draw=5)) for _ in range(7)] == [
        4,
        2,
        9,
        4,
        2,
        9,
        4,
    ]


@one_by_one
def test_a_turn_outlives_a_change_of_the_pool() -> None:
    """It goes on from about there, and never outside the ring."""
    pool = pool_of([1, 5, 1], indexes=[4, 2, 9])
    for _ in range(3):
        pick_round_robin(pool, 0, flow_of())
    smaller = pool_of([1, 1], indexes=[4, 2])
    smaller.own[:] = pool.own

    assert [pick_round_robin(smaller, 0, flow_of()) for _ in range(3)] == [2, 4, 2]


@one_by_one
def test_services_take_turns_of_their_own() -> None:
    """Each has words of its own."""
    pool = pool_of([1, 1], indexes=[4, 2])
    pick_round_robin(pool, 0, flow_of())

    assert pool.own[0] == 1
    assert not pool.own[POLICY_WORDS:].any()


@one_by_one
def test_one_that_is_full_is_passed_over() -> None:
    """And the next turn is that of who stands behind the one that took its."""
    pool = pool_of([1, 1, 1], loads=[0, 2, 0], most=[0, 2, 0])

    assert [pick_round_robin(pool, 0, flow_of()) - FIRST for _ in range(4)] == [0, 2, 0, 2]


@pytest.mark.parametrize("flows", [1, 3, 100, 300])
def test_flows_are_spread_evenly(flows: int) -> None:
    """Counts differ by one at the most, whatever the weights."""
    path = engine(one_service(backends=[f"{B1}:80", f"{B2}:80", f"{B3}:80"]))
    path.set_backend(f"web/{B1}:80", weight=7)
    got: Counter[str] = Counter()
    for port in range(20000, 20000 + flows):
        sent = path.process(packets.tcp(f"{CLIENT}:{port}", f"{VIP}:80"), 0.0).packets[0]
        got[packets.read(sent).destination] += 1

    assert max(got.values()) - min(got[f"{address}:80"] for address in (B1, B2, B3)) <= 1


def test_the_turns_of_a_full_one_are_shared_by_all_others() -> None:
    """Not left to who stands behind it: 301 flows that stay, of which b0 may have one."""
    backends = [{"name": f"b{at}", "address": f"{each}:80"} for at, each in enumerate((B1, B2, B3))]
    path = engine(one_service(backends=[{**backends[0], "max_flows": 1}, *backends[1:]]))
    for port in range(20000, 20301):
        path.process(packets.tcp(f"{CLIENT}:{port}", f"{VIP}:80"), 0.0)

    assert Counter(flow.backend for flow in path.flows()) == {"b0": 1, "b1": 150, "b2": 150}


@one_by_one
@pytest.mark.parametrize("full", [(0,), (1, 2), (4, 0), (1, 3)])
def test_wherever_full_ones_stand_the_others_take_turns(full: tuple[int, ...]) -> None:
    """In order, round and round."""
    pool = pool_of([1] * 5, most=[int(at in full) for at in range(5)], loads=[1] * 5)
    free = [FIRST + at for at in range(5) if at not in full]

    assert [pick_round_robin(pool, 0, flow_of()) for _ in range(4 * len(free))] == 4 * free


@one_by_one
def test_a_turn_that_slow_start_gives_up_is_shared_by_all_others() -> None:
    """Of each round it has its share of a turn (chi-square, one false alarm in a million)."""
    pool, chance = pool_of([1] * 4), random.Random(2)
    start_slowly(pool, FIRST + 1, began_ms=0, seconds=10)
    flows = [flow_of(draw=chance.getrandbits(31), now=3000) for _ in range(6600)]
    got = Counter(pick_round_robin(pool, 0, flow) - FIRST for flow in flows)

    assert_fits([got[at] for at in range(4)], [1, 0.3, 1, 1])
    assert max(got[at] for at in (0, 2, 3)) - min(got[at] for at in (0, 2, 3)) <= 1


@one_by_one
def test_nobody_is_picked_where_nobody_has_room() -> None:
    """And the turn stays."""
    pool = pool_of([1, 1], most=[1, 1], loads=[1, 1])
    pool.own[0] = 1

    assert pick_round_robin(pool, 0, flow_of()) == NO_BACKEND_INDEX
    assert pool.own[0] == 1
