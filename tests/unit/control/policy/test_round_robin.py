from __future__ import annotations

import numpy as np

from natlb.control.policy.member import Member
from natlb.control.policy.round_robin import compile_round_robin


def test_the_ring_is_the_pool_in_its_order() -> None:
    """Each once, whatever its weight; the seed has no say."""
    members = [Member(4, "b", 9), Member(2, "a", 1)]

    ring = compile_round_robin(members, 7)
    assert ring.tolist() == [4, 2]
    assert ring.dtype == np.int32


def test_an_empty_pool_has_an_empty_ring() -> None:
    """Which picks nothing."""
    assert compile_round_robin([], 7).size == 0
