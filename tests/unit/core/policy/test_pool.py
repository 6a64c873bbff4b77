from __future__ import annotations

import pytest

from natlb.core.choice import pool_of as pool_of_core
from natlb.core.layout import WEIGHT_ONE
from natlb.core.policy.pool import (
    LEAST_SHARE,
    NO_BACKEND_INDEX,
    NOWHERE,
    find_next,
    has_room,
    is_admitted,
    is_admitted_by_hash,
    is_shadow,
    load_of,
    set_smooth,
    smooth_of,
    weight_now,
)
from tests.datapath import engine
from tests.kernels import why_not_one_by_one
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())


def test_a_pool_is_made_of_what_the_core_has() -> None:
    """No copy: a policy reads counts as they are now."""
    path = engine()
    pool = pool_of_core(path._core)
    path._core.counters.loads[1] = 9

    assert pool.loads[1] == 9
    assert pool.rings.flags.writeable is False


def test_no_backend_is_no_index() -> None:
    """Zero is one."""
    assert NO_BACKEND_INDEX < 0


@one_by_one
def test_a_load_is_what_is_not_closed() -> None:
    """Opening and established; what both ends have closed is no work."""
    pool = pool_of([1], loads=[5])
    pool.loads[FIRST] -= 3

    assert load_of(pool, FIRST) == 2


@one_by_one
def test_there_is_room_up_to_the_limit() -> None:
    """And not one flow more; without a limit always."""
    pool = pool_of([1, 1], loads=[1, 10**6], most=[2, 0])

    assert [has_room(pool, index) for index in (FIRST, FIRST + 1)] == [True, True]
    give_load(pool, FIRST, 1)
    assert not has_room(pool, FIRST)


@one_by_one
@pytest.mark.parametrize(
    ("now", "exponent", "share"),
    [(0, 1.0, LEAST_SHARE), (500, 1.0, LEAST_SHARE), (5000, 1.0, 0.5), (5000, 2.0, 0.25),
     (9999, 1.0, 0.9999), (10000, 3.0, 1.0), (10**9, 1.0, 1.0)],
)  # fmt: skip
def test_a_weight_rises_in_slow_start(now: int, exponent: float, share: float) -> None:
    """From a tenth, as the time since to the power of the exponent."""
    pool = pool_of([100])
    start_slowly(pool, FIRST, began_ms=1000, seconds=10, exponent=exponent)

    assert weight_now(pool, FIRST, 1000 + now) == int(100 * WEIGHT_ONE * share)
    assert weight_now(pool, FIRST, 0) == int(100 * WEIGHT_ONE * LEAST_SHARE)  # not to come


@one_by_one
def test_a_weight_of_one_is_never_none() -> None:
    """However small its share: it would have no backend at all."""
    pool = pool_of([1])
    pool.backends[FIRST]["weight"] = 1
    start_slowly(pool, FIRST, began_ms=0, seconds=10)

    assert weight_now(pool, FIRST, 0) == 1


@one_by_one
def test_slow_start_admits_its_share_of_flows() -> None:
    """By hash: the same on every node, and those of a moment before among those of now."""
    pool = pool_of([1])
    start_slowly(pool, FIRST, began_ms=0, seconds=10)
    flows = [flow_of(spread * 2654435761 & 0xFFFFFFFF) for spread in range(4000)]

    def admitted(now: int) -> set[int]:
        return {
            flow.spread_hash for flow in flows if is_admitted(pool, FIRST, flow._replace(now=now))
        }

    assert len(admitted(3000)) == pytest.approx(1200, abs=6 * 29)  # six standard deviations
    assert admitted(3000) < admitted(6000)
    assert len(admitted(10000)) == 4000


@one_by_one
def test_the_next_one_with_room_is_found_from_anywhere() -> None:
    """Round the end of the pool; one in slow start serves where nobody else has room."""
    pool = pool_of([1, 1, 1], loads=[0, 1, 1], most=[1, 1, 1])
    assert [find_next(pool, 0, start, flow_of()) for start in range(3)] == [0] * 3

    start_slowly(pool, FIRST, began_ms=0, seconds=10)
    refused = next(flow for flow in map(flow_of, range(99)) if not is_admitted(pool, FIRST, flow))
    assert find_next(pool, 0, 1, refused) == 0
    give_load(pool, FIRST, 1)
    assert find_next(pool, 0, 0, refused) == NOWHERE


@one_by_one
def test_a_shadow_keeps_smooth_weights_of_its_own() -> None:
    """Or a policy that is tried out would change what it is compared with."""
    pool = pool_of([1])
    set_smooth(pool, 6, FIRST, 11)
    set_smooth(pool, 7, FIRST, -3)

    assert [is_shadow(choice) for choice in (6, 7)] == [False, True]
    assert [smooth_of(pool, choice, FIRST) for choice in (6, 7)] == [11, -3]


@one_by_one
def test_a_hash_is_admitted_alike_on_all_nodes() -> None:
    """By the name of the backend: neither its index nor a draw counts, as a draw's lot has it."""
    pools = [pool_of([1], names=["10.9.0.1:80"], indexes=[index]) for index in (3, 8)]
    for pool, index in zip(pools, (3, 8), strict=True):
        start_slowly(pool, index, began_ms=0, seconds=10)
    flows = [flow_of(spread * 2654435761 & 0xFFFFFFFF, now=5000) for spread in range(500)]
    here, there = (
        [is_admitted_by_hash(pool, index, flow._replace(draw=index)) for flow in flows]
        for pool, index in zip(pools, (3, 8), strict=True)
    )

    assert here == there
    assert sum(here) == pytest.approx(250, abs=6 * 11.2)  # six standard deviations
    drawn = [is_admitted(pools[0], 3, flow._replace(draw=12345)) for flow in flows]
    assert drawn != here
