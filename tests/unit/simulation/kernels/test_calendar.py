from __future__ import annotations

import random

import numpy as np

from natlb.simulation.kernels.calendar import make_event, next_time, put_event, take_event
from natlb.simulation.kernels.world import NEVER, make_world


def test_events_come_in_order_of_time_and_then_of_number() -> None:
    """Whatever order they were entered in; entering and taking mixed."""
    world = make_world(300, 1, np.zeros(0, np.int64))
    due: list[tuple[int, int]] = []
    for turn in range(300):
        event = random.randrange(20), make_event(random.randrange(100), turn % 2)
        put_event(world, *event)
        due.append(event)
        if turn % 3 == 2:
            time = next_time(world)
            assert (time, take_event(world)) == min(due)
            due.remove(min(due))
    while due:
        time = next_time(world)
        assert (time, take_event(world)) == min(due)
        due.remove(min(due))

    assert next_time(world) == NEVER
