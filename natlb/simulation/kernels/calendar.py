"""What is due next: a binary heap in two arrays (Williams, "Algorithm 232: Heapsort", 1964).

An event is a flow and what happens to it. Of events at one time the smaller comes first, so the
order is one and the same whatever order they were put in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import i64, kernel
from natlb.simulation.kernels.world import DUE, NEVER

if TYPE_CHECKING:
    from natlb.simulation.kernels.world import World

IS_ANSWERED, IS_DONE = 0, 1


@kernel
def make_event(flow: int, kind: int) -> int:
    """Return what happens to a flow as one number."""
    return flow << 1 | kind


@kernel
def next_time(world: World) -> int:
    """Return when the next event is due, or NEVER."""
    return i64(world.times[0]) if world.numbers[DUE] > 0 else NEVER


@kernel
def _is_before(world: World, a: int, b: int) -> bool:
    """Return whether one entry comes before another."""
    if world.times[a] != world.times[b]:
        return bool(world.times[a] < world.times[b])
    return bool(world.events[a] < world.events[b])


@kernel
def _exchange(world: World, a: int, b: int) -> None:
    """Let two entries change places."""
    time, event = i64(world.times[a]), i64(world.events[a])
    world.times[a] = world.times[b]
    world.events[a] = world.events[b]
    world.times[b] = time
    world.events[b] = event


@kernel
def put_event(world: World, time: int, event: int) -> None:
    """Enter an event; there is room for one of each flow."""
    at = i64(world.numbers[DUE])
    world.numbers[DUE] = at + 1
    world.times[at] = time
    world.events[at] = event
    while at > 0 and _is_before(world, at, at - 1 >> 1):
        _exchange(world, at, at - 1 >> 1)
        at = at - 1 >> 1


@kernel
def take_event(world: World) -> int:
    """Return the next event, and strike it out; the caller knows that there is one."""
    event = i64(world.events[0])
    last = i64(world.numbers[DUE]) - 1
    world.numbers[DUE] = last
    _exchange(world, 0, last)
    at = 0
    while True:
        least = at
        for child in range(2 * at + 1, min(2 * at + 3, last)):
            if _is_before(world, child, least):
                least = child
        if least == at:
            return event
        _exchange(world, at, least)
        at = least
