from __future__ import annotations

import numpy as np
import pytest

from natlb.control.policy import COMPILERS, Compiled, Member, Order
from natlb.core.layout import KEY_SOURCE


def test_what_is_left_out_asks_nothing_and_answers_nothing() -> None:
    """A policy of neither parameters nor memory needs none of them."""
    order, compiled = Order(members=[]), Compiled()

    assert (order.seed, order.parameters, order.memory) == (0, {}, {})
    assert compiled.ring.size == 0
    assert compiled.ring.dtype == np.int32
    assert (compiled.key, compiled.parameters, compiled.memory) == (KEY_SOURCE, (), {})


@pytest.mark.parametrize(
    "policy",
    [
        "first",
        "failover",
        "least-connections",
        "least-response-time",
        "never-queue",
        "random",
        "round-robin",
        "shortest-expected-delay",
        "weighted-least-connections",
        "weighted-round-robin",
    ],
)
def test_the_pool_is_all_it_needs(policy: str) -> None:
    """No ring of its own, whatever the weights and the seed."""
    compiled = COMPILERS[policy](Order(members=[Member(4, "b", 9)], seed=7))

    assert compiled.ring.size == 0
    assert compiled.parameters == Compiled().parameters
