from __future__ import annotations

import numpy as np

from natlb.control.policy import Compiled, Order
from natlb.core.layout import KEY_SOURCE


def test_what_is_left_out_asks_nothing_and_answers_nothing() -> None:
    """A policy of neither parameters nor memory needs none of them."""
    order, compiled = Order(members=[]), Compiled()

    assert (order.seed, order.parameters, order.memory) == (0, {}, {})
    assert compiled.ring.size == 0
    assert compiled.ring.dtype == np.int32
    assert (compiled.key, compiled.parameters, compiled.memory) == (KEY_SOURCE, (), {})
