from __future__ import annotations

from collections import Counter

import pytest

from natlb.core.layout import POLICY_WORDS
from natlb.core.policy.round_robin import pick_round_robin
from natlb.testing import packets
from tests.datapath import B1, B2, B3, CLIENT, VIP, engine, one_service
from tests.kernels import why_not_one_by_one
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of

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
    """Its turn is the next one's."""
    pool = pool_of([1, 1, 1], loads=[0, 2, 0], most=[0, 2, 0])

    assert [pick_round_robin(pool, 0, flow_of()) - FIRST for _ in range(4)] == [0, 2, 2, 0]


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
