from __future__ import annotations

from natlb.core.policy.first import pick_first
from natlb.core.policy.pool import NO_BACKEND_INDEX
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

needs_plain_kernels()


def test_backends_are_filled_in_the_order_of_the_configuration() -> None:
    """One after the other, up to the limit of each, whatever they weigh."""
    pool, found = pool_of([1, 9, 5], "first", indexes=[7, 3, 5], most=[0, 0, 0]), []
    pool.backends["max_flows"][[7, 3, 5]] = [2, 3, 1]
    for draw in range(7):
        found.append(pick_first(pool, 0, flow_of(draw, draw=draw)))
        if found[-1] != NO_BACKEND_INDEX:
            give_load(pool, found[-1], 1)

    assert found == [7, 7, 3, 3, 3, 5, NO_BACKEND_INDEX]


def test_room_that_comes_free_is_used_again() -> None:
    """The first is preferred as soon as it has any."""
    pool = pool_of([1, 1], "failover", loads=[2, 1], most=[2, 2])
    assert pick_first(pool, 0, flow_of()) == FIRST + 1

    give_load(pool, FIRST, -1)
    assert pick_first(pool, 0, flow_of()) == FIRST


def test_without_a_limit_the_others_stand_by() -> None:
    """It is failover then: who is not up is not in the pool."""
    pool = pool_of([1, 1], "failover", loads=[10**6])

    assert {pick_first(pool, 0, flow_of(draw=draw)) for draw in range(100)} == {FIRST}


def test_one_that_comes_back_takes_its_share_and_the_next_one_the_rest() -> None:
    """Half of the flows in the middle of slow start, and in the end all of them."""
    pool = pool_of([1, 1], "first")
    start_slowly(pool, FIRST, began_ms=0, seconds=10)

    def taken(now: int) -> int:
        flows = [flow_of(at * 2654435761 & 0xFFFFFFFF, now=now) for at in range(4000)]
        return [pick_first(pool, 0, flow) for flow in flows].count(FIRST)

    assert abs(taken(5000) - 2000) < 5 * 32  # five standard deviations: a false alarm in 10^6
    assert taken(10_000) == 4000
