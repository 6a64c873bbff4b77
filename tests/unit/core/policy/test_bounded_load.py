from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from natlb.core.layout import WEIGHT_ONE
from natlb.core.policy.bounded_load import WALK, cap_of, flows_of_pool, pick_bounded_load
from natlb.core.policy.by_hash import slot_owner
from natlb.core.policy.pool import NO_BACKEND_INDEX
from tests.kernels import why_not_one_by_one
from tests.spread import is_below_cap, spread_hashes
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.core.policy import Pool

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())


BASES = ["maglev", "rendezvous"]


def pool_with(
    weights: Sequence[int], base: str = "maglev", factor: float = 1.25, **more: object
) -> Pool:
    """Return a pool whose loads are bounded."""
    return pool_of(weights, "bounded-load", parameters={"base": base, "factor": factor}, **more)  # type: ignore[arg-type]


@one_by_one
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("factor", [1.05, 1.25, 3.0])
def test_no_backend_ever_exceeds_its_cap(base: str, factor: float) -> None:
    """Not at any of 600 flows, though 40 % of them are one client's, by any weights."""
    weights = [1, 1, 2, 5, 7, 16]
    pool = pool_with(weights, base, factor)
    hashes = spread_hashes(600, 1)
    for flows, hashed in enumerate(hashes.tolist(), start=1):
        chosen = pick_bounded_load(pool, 0, flow_of(12345 if flows % 5 < 2 else hashed))
        give_load(pool, chosen, 1)
        share = Fraction(factor).limit_denominator(1000) * flows * weights[chosen - FIRST]
        assert pool.loads[chosen] <= math.ceil(share / sum(weights))


@one_by_one
@pytest.mark.parametrize("base", BASES)
def test_who_is_below_the_cap_keeps_its_clients(base: str) -> None:
    """And those of who is not go to the first owner behind that is."""
    pool = pool_with([1] * 5, base, loads=[9, 10, 30, 10, 41])
    below = is_below_cap(pool)
    assert below.tolist()[FIRST:] == [True, True, False, True, False]

    for hashed in spread_hashes(500, 1).tolist():
        walk = (slot_owner(pool, 0, hashed + step) for step in range(WALK))
        first = next(owner for owner in walk if below[owner])
        assert pick_bounded_load(pool, 0, flow_of(hashed)) == first


@one_by_one
def test_a_cap_is_a_share_of_flows_by_weight_and_the_next_one() -> None:
    """Rounded up, so that the first flow has a place; closed flows are none."""
    pool = pool_with([1, 3])
    one, all_of_them = WEIGHT_ONE, 4 * WEIGHT_ONE
    assert [
        cap_of(pool, 0, weight, all_of_them, flows_of_pool(pool, 0)) for weight in (one, 3 * one)
    ] == [1, 1]

    give_load(pool, FIRST, 15)
    assert [
        cap_of(pool, 0, weight, all_of_them, flows_of_pool(pool, 0)) for weight in (one, 3 * one)
    ] == [5, 15]
    pool.total[0]["closing"] = 8
    assert [
        cap_of(pool, 0, weight, all_of_them, flows_of_pool(pool, 0)) for weight in (one, 3 * one)
    ] == [3, 8]


@one_by_one
def test_the_largest_pool_stays_below_63_bits() -> None:
    """All 65,535 backends of the largest weight, 2^24 flows, the largest factor."""
    pool = pool_with([1], factor=10.0)
    weight = 65535 * WEIGHT_ONE

    assert cap_of(pool, 0, weight, weight * 65535, (1 << 24) - 1) == math.ceil((10 << 24) / 65535)
    assert 10000 * (1 << 24) * weight + 1000 * weight * 65535 < 1 << 63


@one_by_one
def test_beyond_the_walk_the_least_loaded_for_its_cap_is_picked() -> None:
    """Two of 400 are below: who is at a tenth of its cap comes before who is at a fifth."""
    pool = pool_with([1] * 399 + [2], loads=[30] * 398 + [3, 12], factor=1.001)
    below = {FIRST + 398, FIRST + 399}
    assert set(is_below_cap(pool).nonzero()[0]) == below
    far = next(
        hashed
        for hashed in spread_hashes(2000, 1).tolist()
        if not below & {slot_owner(pool, 0, hashed + step) for step in range(WALK)}
    )

    assert pick_bounded_load(pool, 0, flow_of(far)) == FIRST + 398
    pool.loads[FIRST + 398] = 20
    assert pick_bounded_load(pool, 0, flow_of(far)) == FIRST + 399


@one_by_one
def test_of_equal_loads_the_flow_decides() -> None:
    """Where `max_flows` keeps out those below their cap, all others with room are picked from."""
    pool = pool_with([1] * 4, loads=[10, 10, 10, 1], most=[0, 0, 0, 1], factor=1.001)
    picks = [pick_bounded_load(pool, 0, flow_of(h)) for h in spread_hashes(60, 1).tolist()]

    assert set(picks) == {FIRST, FIRST + 1, FIRST + 2}


@one_by_one
def test_nobody_is_picked_where_nobody_has_room() -> None:
    """Nor from an empty pool."""
    full = pool_with([1, 1], loads=[2, 2], most=[2, 2])

    assert pick_bounded_load(full, 0, flow_of(7)) == NO_BACKEND_INDEX
    assert pick_bounded_load(pool_with([]), 0, flow_of(7)) == NO_BACKEND_INDEX


@one_by_one
@pytest.mark.parametrize("now", [0, 3000, 10000])
def test_a_cap_rises_in_slow_start(now: int) -> None:
    """No backend exceeds the cap of its weight at that moment."""
    pool = pool_with([4, 4, 4, 4], factor=1.25)
    start_slowly(pool, FIRST, began_ms=0, seconds=10)
    share = max(0.1, now / 10000)
    for flows, hashed in enumerate(spread_hashes(400, 1).tolist(), start=1):
        chosen = pick_bounded_load(pool, 0, flow_of(hashed, now=now))
        give_load(pool, chosen, 1)
        weight = share if chosen == FIRST else 1.0
        assert pool.loads[chosen] <= math.ceil(1.25 * flows * weight / (3 + share))


@one_by_one
@pytest.mark.parametrize("base", BASES)
def test_flows_that_others_keep_raise_no_cap(base: str) -> None:
    """A thousand flows of the service are on who drains; the pool's own are bounded by its own."""
    pool = pool_with([1] * 4, base, 1.25)
    pool.services.flags.writeable = True
    pool.services[0]["has_others"] = 1
    pool.total[0]["current"] = 1000
    for flows, hashed in enumerate(spread_hashes(200, 1).tolist(), start=1):
        chosen = pick_bounded_load(pool, 0, flow_of(12345 if flows % 5 < 2 else hashed))
        give_load(pool, chosen, 1)
        assert pool.loads[chosen] <= math.ceil(Fraction(5, 4) * flows / 4)
