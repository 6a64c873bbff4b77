"""What the other workers have to do: policies and limits go by the sum.

Workers share nothing they write: each has a row of `Loads`, which it alone writes and all read. The
sum of the others' rows is kept in memory of a worker's own, worked out now and then, so that a
policy that looks at a thousand backends reads it side by side. Both is done between batches, before
every wait and at least every 2 ms, a bounded piece at a time.

    own counts -> own row -> the others' `Elsewhere`

So what one worker sees of another is a tick or two old, and together they may pass a limit by what
each of them opens in that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.layout import MOST_BACKENDS, MOST_SERVICES, WORKER
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.state import Core

PIECE = 1024  # backends in one go: of all 65,536 each is looked at every 128 ms
OF_BACKENDS, OF_SERVICES = 0, 1  # in `places`


class Loads(NamedTuple):
    """[worker, number]: flows that are opening or established, and those of them that open."""

    backends: NDArray[np.int64]
    opening: NDArray[np.int64]
    services: NDArray[np.int64]


class Elsewhere(NamedTuple):
    """The same by number alone: what all other workers have; and where the next piece begins."""

    backends: NDArray[np.int64]
    opening: NDArray[np.int64]
    services: NDArray[np.int64]
    places: NDArray[np.int64]


def nothing_elsewhere() -> Elsewhere:
    """Return what a worker knows that has looked at no other."""
    backends, opening = (np.zeros(MOST_BACKENDS, np.int64) for _ in range(2))
    return Elsewhere(backends, opening, np.zeros(MOST_SERVICES, np.int64), np.zeros(2, np.int64))


@kernel
def exchange_loads(core: Core) -> None:
    """Tell the others what this worker has, and sum up what they have: of a piece of all."""
    if core.loads.backends.shape[0] > 1:
        _exchange_backends(core)
        _exchange_services(core)


@kernel
def next_piece(places: NDArray[np.int64], which: int, size: int) -> tuple[int, int]:
    """Return where the next piece of so many begins and ends."""
    start = i64(places[which])
    if start >= size:
        start = 0
    end = min(start + PIECE, size)
    places[which] = end
    return start, end


@kernel
def _exchange_backends(core: Core) -> None:
    loads, elsewhere, own = core.loads, core.elsewhere, i64(core.flows.meta[WORKER])
    start, end = next_piece(elsewhere.places, OF_BACKENDS, core.tables.backends.size)
    for at in range(start, end):
        count = core.counters.backends[at]
        _say(loads.backends, own, at, i64(core.counters.loads[at]))
        _say(loads.opening, own, at, count["opening"])
        elsewhere.backends[at] = _others(loads.backends, own, at)
        elsewhere.opening[at] = _others(loads.opening, own, at)


@kernel
def _exchange_services(core: Core) -> None:
    loads, elsewhere, own = core.loads, core.elsewhere, i64(core.flows.meta[WORKER])
    start, end = next_piece(elsewhere.places, OF_SERVICES, core.tables.services.size)
    for at in range(start, end):
        count = core.counters.services[at]
        _say(loads.services, own, at, count["current"] - count["closing"])
        elsewhere.services[at] = _others(loads.services, own, at)


@kernel
def _say(rows: NDArray[np.int64], own: int, at: int, number: int) -> None:
    """Write a number that has changed: another processor keeps what nobody writes."""
    if rows[own, at] != number:
        rows[own, at] = number


@kernel
def _others(rows: NDArray[np.int64], own: int, at: int) -> int:
    """Return the sum over all rows but one's own; never less than nothing."""
    total = 0
    for worker in range(rows.shape[0]):
        if worker != own:
            total += rows[worker, at]
    return max(0, total)
