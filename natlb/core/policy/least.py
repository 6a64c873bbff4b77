"""Who has the least to do for its weight: one scan of the pool, and at random among equals.

IPVS, and whoever else takes the first of the least, gives everything to the head of the list while
all are idle: each balancer of a group, after each restart, the same backend. Here the scan counts
how many are least, and a draw says which of them, so each has the same chance.

Fractions are compared cross-multiplied, load_i * weight_j with load_j * weight_i, so there is no
division and nothing is rounded. Loads (MOST_FLOWS) and weights (65535 times WEIGHT_ONE) are below
2^24, loads in slow start below 2^28, so products are far from 63 bits.

In slow start a backend takes part in a pick by a lot of its share, and its load counts as load /
share. The weight alone would not do: at load 0 it says nothing, or that a light one never wins. By
the lot an idle pool of n gives it share / n of the flows, and a busy one no more than its share of
them until, by the load, it has that share of what the others have.

What a scan takes was halved twice, measured. First, by no branch that is hard to foretell, and an
index that the compiler knows is not negative. Then by a loop that is left where a backend has less
than the least so far, which in a pool of n comes about ln n times: until then what it compares with
does not change, so the processor works at several backends at once. And by loads that lie side by
side.
"""

from __future__ import annotations

from typing import NamedTuple

from natlb.core.hashing import second_hash
from natlb.core.layout import WEIGHT_ONE
from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NewFlow,
    Pool,
    has_room,
    is_admitted,
    load_of,
    pool_span,
    slowed_load,
)
from natlb.jit import i64, kernel, rare_kernel

DRAW_BITS = 31
SEEMING, CAREFUL, BY_ROOM = 0, 1, 2  # how a backend is looked at: see `pick_least_loaded()`
INDEX = 0x7FFFFFFF  # what a backend's index may be: so the compiler knows that it is not negative


@kernel
def draw_one_of(count: int, draw: int) -> int:
    """Return a number below `count`, each with the same probability, from a flow's draw."""
    return draw * count >> DRAW_BITS


class Measure(NamedTuple):
    """What is compared: (load + `coming`) / weight, or `idle` / weight where there is no flow."""

    coming: int
    idle: int
    is_weighted: bool  # or all weigh the same


@kernel
def pick_least_loaded(pool: Pool, choice: int, flow: NewFlow, measure: Measure) -> int:
    """Return a backend for which the measure is least; of several, any with equal chance.

    First as if none were full or in slow start (SEEMING). Such a one measures more than it seems
    to, never less: if who is drawn is no such one, it is the least indeed. If it is, all are looked
    at with care, and another draw.
    """
    backend = _scan(pool, choice, flow, second_hash(flow.draw) >> 1, measure, SEEMING)
    if backend == NO_BACKEND_INDEX or is_as_it_seems(pool, backend):
        return backend
    return pick_with_care(pool, choice, flow, measure, backend)


@kernel
def is_as_it_seems(pool: Pool, backend: int) -> bool:
    """Return whether a backend has room and its whole weight."""
    return bool(pool.backends[backend]["slow_start_ms"] == 0) and has_room(pool, backend)


@rare_kernel
def pick_with_care(pool: Pool, choice: int, flow: NewFlow, measure: Measure, drawn: int) -> int:
    """Return a backend for which the measure is least, with limits and slow start in mind.

    `drawn` is one for which it seems least. If it measures what it seems to, and its lot is in, it
    is the answer: in a draw from all again it would have to win twice. If not, the answer is one of
    the least of those whose lots are in (CAREFUL), or where none is, of those with room (BY_ROOM).
    So chances are exactly those of a draw from the least of all whose lots are in.
    """
    if is_admitted(pool, drawn, flow) and slowed_load(pool, drawn, flow.now) == load_of(
        pool, drawn
    ):
        return drawn
    backend = _scan(pool, choice, flow, flow.draw, measure, CAREFUL)
    if backend != NO_BACKEND_INDEX:
        return backend
    return _scan(pool, choice, flow, flow.draw, measure, BY_ROOM)


@kernel
def takes_part(pool: Pool, backend: int, flow: NewFlow, care: int) -> bool:
    """Return whether a backend can be picked at all, looked at with that much care."""
    if care == CAREFUL:
        return is_admitted(pool, backend, flow)
    return has_room(pool, backend)


@kernel
def _scan(pool: Pool, choice: int, flow: NewFlow, draw: int, measure: Measure, care: int) -> int:
    """Return one of those for which the measure is least, each with equal chance."""
    first, size = pool_span(pool, choice)
    at, end = first, first + size
    least, its_weight, equals, chosen = 1, 0, 0, at  # more than any
    while at < end:
        least, its_weight = _burden_and_weight(pool, at, flow, measure, care)
        equals, chosen, at = 1, at, at + 1
        while at < end:
            burden, weight = _burden_and_weight(pool, at, flow, measure, care)
            this, other = burden * its_weight, least * weight
            if this < other:
                break
            equals += 1 if this == other else 0
            at += 1
    if its_weight == 0:
        return NO_BACKEND_INDEX
    if equals == 1:
        return i64(pool.rings[chosen & INDEX])
    number, at, step = draw_one_of(equals, draw), first - 1, 1
    if 2 * number >= equals:  # nearer from the end
        number, at, step = equals - 1 - number, end, -1
    while number >= 0:
        at += step
        burden, weight = _burden_and_weight(pool, at, flow, measure, care)
        number -= 1 if burden * its_weight == least * weight else 0
    return i64(pool.rings[at & INDEX])


@kernel
def _burden_and_weight(
    pool: Pool, at: int, flow: NewFlow, measure: Measure, care: int
) -> tuple[int, int]:
    """Return what the backend at a place in `rings` would have to do, and its weight.

    1 and 0 where it takes no part.
    """
    backend = i64(pool.rings[at & INDEX]) & INDEX
    if care == SEEMING:
        load = load_of(pool, backend)
    elif takes_part(pool, backend, flow, care):
        load = slowed_load(pool, backend, flow.now)
    else:
        return 1, 0
    burden = load + measure.coming if load > 0 else measure.idle
    return burden, i64(pool.backends[backend]["weight"]) if measure.is_weighted else WEIGHT_ONE
