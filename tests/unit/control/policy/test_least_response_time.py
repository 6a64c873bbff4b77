from __future__ import annotations

from natlb.control.policy import Compiled, Member, Order
from natlb.control.policy.least_response_time import compile_least_response_time


def test_the_pool_is_all_it_needs() -> None:
    """No ring of its own, whatever the weights and the seed."""
    compiled = compile_least_response_time(Order(members=[Member(4, "b", 9)], seed=7))

    assert compiled.ring.size == 0
    assert compiled.parameters == Compiled().parameters
