"""Least response time: whose answers take least, for what it has to do (Finagle: PeakEwma.scala).

The cost of a backend is handshake time * (load + 1) / weight, the handshake time being the peak
EWMA of `handshake.py`. So a slow one gets less, and as soon as one slows down, it shows; what is
still opening there counts against it before any answer does.

A backend without a sample counts with a mean, so it is neither flooded, as it would be at no cost,
nor left out: the mean of all that have one as of the last pick of one that has none, drawn by an
eighth to each pick since. Where nobody has one, loads alone tell.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from natlb.core.handshake import handshake_now
from natlb.core.hashing import second_hash
from natlb.core.policy.least import (
    BY_ROOM,
    CAREFUL,
    INDEX,
    SEEMING,
    draw_one_of,
    is_as_it_seems,
    takes_part,
)
from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    is_admitted,
    load_of,
    own_word,
    pool_span,
    slowed_load,
)
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool

MEAN, MEAN_BITS = 0, 3  # the word that keeps it, and what share of it is new
FULL = math.inf  # the cost of who takes no part


@kernel
def pick_least_response_time(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return a backend whose cost is least; of several, any with equal chance.

    In two steps, as `pick_least_loaded()`, and for its reasons.
    """
    backend = _scan(pool, choice, flow, second_hash(flow.draw) >> 1, SEEMING)
    if backend == NO_BACKEND_INDEX:
        return backend
    if not is_as_it_seems(pool, backend):
        backend = _pick_with_care(pool, choice, flow, backend)
    _keep_mean(pool, choice, backend, flow.now)
    return backend


@kernel
def _keep_mean(pool: Pool, choice: int, backend: int, now: int) -> None:
    """Draw the mean to a pick's handshake time; where it has none, work it out anew."""
    if backend == NO_BACKEND_INDEX:
        return
    taken = handshake_now(pool.notes[backend], now)
    at = own_word(choice, MEAN)
    mean = pool.own[at]
    if taken == 0 or mean == 0:
        pool.own[at] = _mean_of(pool, choice, now)
    else:
        pool.own[at] = mean + (taken - mean >> MEAN_BITS)


@rare_kernel
def _mean_of(pool: Pool, choice: int, now: int) -> int:
    """Return the mean of the handshake times that there are, or 0."""
    first, size = pool_span(pool, choice)
    total, known = 0, 0
    for at in range(first, first + size):
        taken = handshake_now(pool.notes[i64(pool.rings[at])], now)
        total += taken
        known += 1 if taken > 0 else 0
    return total // max(1, known)


@rare_kernel
def _pick_with_care(pool: Pool, choice: int, flow: NewFlow, drawn: int) -> int:
    """Do what `least.pick_with_care()` does, for its reasons."""
    if is_admitted(pool, drawn, flow) and slowed_load(pool, drawn, flow.now) == load_of(
        pool, drawn
    ):
        return drawn
    backend = _scan(pool, choice, flow, flow.draw, CAREFUL)
    if backend != NO_BACKEND_INDEX:
        return backend
    return _scan(pool, choice, flow, flow.draw, BY_ROOM)


@kernel
def _scan(pool: Pool, choice: int, flow: NewFlow, draw: int, care: int) -> int:
    """Return one of those whose cost is least, each with equal chance; see `least.py`."""
    first, size = pool_span(pool, choice)
    mean = max(1, i64(pool.own[own_word(choice, MEAN)]))
    at, end = first, first + size
    least, equals, chosen = FULL, 0, at
    while at < end:
        least = _cost(pool, at, mean, flow, care)
        equals, chosen, at = 1, at, at + 1
        while at < end:
            cost = _cost(pool, at, mean, flow, care)
            if cost < least:
                break
            equals += 1 if cost == least else 0
            at += 1
    if least == FULL:
        return NO_BACKEND_INDEX
    if equals == 1:
        return i64(pool.rings[chosen & INDEX])
    number, at, step = draw_one_of(equals, draw), first - 1, 1
    if 2 * number >= equals:  # nearer from the end
        number, at, step = equals - 1 - number, end, -1
    while number >= 0:
        at += step
        number -= 1 if _cost(pool, at, mean, flow, care) == least else 0
    return i64(pool.rings[at & INDEX])


@kernel
def _cost(pool: Pool, at: int, mean: int, flow: NewFlow, care: int) -> float:
    """Return the cost of the backend at a place in `rings`, FULL for one that takes no part.

    By a product with what a division by the weight comes to, so that a scan divides nothing.
    """
    backend = i64(pool.rings[at & INDEX]) & INDEX
    if care == SEEMING:
        load = load_of(pool, backend)
    elif takes_part(pool, backend, flow, care):
        load = slowed_load(pool, backend, flow.now)
    else:
        return FULL
    taken = handshake_now(pool.notes[backend], flow.now)
    burden = float((taken if taken > 0 else mean) * (load + 1))
    return burden * float(pool.backends[backend]["per_weight"])
