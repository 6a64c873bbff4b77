from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from natlb.control.policy import COMPILERS, Member, Order
from natlb.core.policy.anchor import bucket_hash, bucket_of, pick_anchor
from natlb.core.policy.pool import NO_BACKEND_INDEX
from tests.kernels import why_not_one_by_one
from tests.spread import owners, spread_hashes
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of

if TYPE_CHECKING:
    from natlb.core.policy import Pool

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())


def pool_after(sizes: list[int], size: int = 64) -> Pool:
    """Return a pool of b0, b1, ... that was so large, one size after the other."""
    memory = None
    for count in sizes[:-1]:
        members = [Member(FIRST + at, f"b{at}", 1) for at in range(count)]
        order = Order(members=members, parameters={"size": size}, memory=memory or {})
        memory = COMPILERS["anchor"](order).memory
    return pool_of([1] * sizes[-1], "anchor", parameters={"size": size}, memory=memory)


@one_by_one
@pytest.mark.parametrize("sizes", [[3], [64], [60, 7], [10, 20, 5, 9, 1]])
def test_a_flow_is_led_to_a_working_bucket(sizes: list[int]) -> None:
    """Whatever was removed before; the reference written over arrays says which."""
    pool = pool_after(sizes)
    hashes = spread_hashes(3000, 1)
    chosen = owners(pool, hashes)

    assert [pick_anchor(pool, 0, flow_of(int(h))) for h in hashes] == chosen.tolist()
    got = Counter(chosen.tolist())
    assert set(got) == set(range(FIRST, FIRST + sizes[-1]))
    deviation = math.sqrt(3000 / sizes[-1])  # six of them: a false alarm in 10^7 runs
    assert all(abs(count - 3000 / sizes[-1]) < 6 * deviation for count in got.values())


@one_by_one
def test_a_working_bucket_is_found_at_once() -> None:
    """Without a removed bucket there is no second step."""
    pool = pool_after([64])

    assert [bucket_of(pool, 0, hashed) for hashed in (0, 63, 64, 1000)] == [0, 63, 0, 1000 % 64]


@one_by_one
def test_each_removed_bucket_has_a_hash_of_its_own() -> None:
    """Else flows of two buckets would go on together."""
    hashes = [bucket_hash(12345, bucket) for bucket in range(1000)]

    assert len(set(hashes)) == 1000
    assert np.mean(np.array(hashes) % 2) == pytest.approx(0.5, abs=6 * 0.016)


@one_by_one
def test_who_is_full_sends_its_flows_on_to_all_others() -> None:
    """By another hash; where nobody has room, to nobody."""
    loads = [1, 0, 0, 0]
    pool = pool_of([1] * 4, "anchor", most=[1, 0, 0, 0], loads=loads)
    hashes = [int(h) for h in spread_hashes(2000, 1)]
    before = owners(pool, np.array(hashes))
    sent_on = [
        pick_anchor(pool, 0, flow_of(h)) for h, owner in zip(hashes, before, strict=True)
        if owner == FIRST
    ]  # fmt: skip

    assert set(sent_on) == {FIRST + 1, FIRST + 2, FIRST + 3}
    assert all(count > len(sent_on) / 5 for count in Counter(sent_on).values())
    full = pool_of([1], "anchor", most=[1], loads=[1])
    assert pick_anchor(full, 0, flow_of(1)) == NO_BACKEND_INDEX
    assert pick_anchor(pool_of([], "anchor"), 0, flow_of(1)) == NO_BACKEND_INDEX
