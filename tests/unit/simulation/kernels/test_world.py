from __future__ import annotations

import numpy as np

from natlb.simulation.kernels.world import NUMBERS, make_world


def test_a_world_begins_with_nothing_and_has_room_for_all() -> None:
    """Nothing is allocated once the clock runs."""
    world = make_world(5, 2, np.arange(3))

    assert world.backends.size == world.ended.size == 5
    assert world.times.size > 5
    assert world.samples.shape == (3, 2)
    assert (world.ended == -1).all()
    assert (world.heads == -1).all()
    assert world.numbers.size == len(NUMBERS)
