from __future__ import annotations

from natlb.control.policy import Member, Order
from natlb.control.policy.alias import alias_table
from natlb.control.policy.weighted_random import compile_weighted_random


def test_its_ring_is_the_alias_table() -> None:
    """Of the pool as it is, and the seed has no part in it."""
    members = [Member(4, "b", 9), Member(2, "a", 1)]
    rings = [
        compile_weighted_random(Order(members=members, seed=seed)).ring.tolist() for seed in (1, 2)
    ]

    assert rings == [alias_table(members).tolist()] * 2
    assert compile_weighted_random(Order(members=[])).ring.size == 0
