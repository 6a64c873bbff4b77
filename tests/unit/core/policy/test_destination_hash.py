from __future__ import annotations

import pytest

from natlb.core.layout import KEY_DESTINATION
from natlb.core.policy.destination_hash import pick_destination_hash
from natlb.core.policy.pool import NO_BACKEND_INDEX
from tests.kernels import why_not_one_by_one
from tests.unit.core.policy.pools import flow_of, pool_of

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())


@one_by_one
def test_the_owner_of_the_slot_is_picked() -> None:
    """Of the address that was called."""
    pool = pool_of([1, 2, 1], "destination-hash", indexes=[4, 2, 9])
    record = pool.choices[0]
    ring = pool.rings[record["ring_start"] :][: record["ring_size"]]

    for hashed in (0, 1, 77777, 0xFFFFFFFF):
        assert pick_destination_hash(pool, 0, flow_of(hashed)) == ring[hashed % ring.size]
    assert record["key"] == KEY_DESTINATION
    assert pick_destination_hash(pool_of([], "destination-hash"), 0, flow_of()) == NO_BACKEND_INDEX
