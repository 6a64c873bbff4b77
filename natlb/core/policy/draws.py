"""Backends drawn at random among those that have room: evenly, or by weight.

By weight means by an alias table (Walker, 1977; Vose, 1991), made by the compiling half: for each
backend of the pool a threshold of 31 bits and another backend. A slot is drawn, and a number: below
the threshold the slot's own backend is taken, else the other. So a draw costs the same in any pool.
Without a table all backends are equal.

A backend without room, or which slow start lets wait, is drawn and refused; then all is drawn
anew, so the others keep their shares exactly. After TRIES the pool is gone through: with the
weights of those that have room summed up, one more draw is exact as well.

All numbers are made of the flow's one draw, by steps of a Weyl sequence that are mixed (as
SplitMix does: Steele, Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

from natlb.core.hashing import WORD, second_hash
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool, has_room, pool_span, weight_now
from natlb.jit import i64, kernel, rare_kernel

DRAW_BITS = 31
TRIES = 8  # with half of the pool full, one in 256 draws needs more
STEPS_OF_TRY = 3  # numbers: a slot, one against its threshold, one against slow start
STEPS = STEPS_OF_TRY * TRIES + 2  # and two for the draw from the whole pool
WEYL = 0x9E3779B9  # 2^32 divided by the golden ratio, odd
ALL_OF_IT = 1 << 16  # the share of a backend whose weight does not count, out of slow start


@kernel
def draw_number(flow: NewFlow, step: int) -> int:
    """Return 31 random bits: others for each step, the same for the same flow and step."""
    return second_hash((flow.draw + (step + 1) * WEYL) & WORD) >> 1


@rare_kernel
def draw_other(pool: Pool, choice: int, flow: NewFlow, other: int) -> int:
    """Return a backend with room that is not `other`, drawn, or NO_BACKEND_INDEX for none.

    `other` is NO_BACKEND_INDEX where anyone will do.
    """
    if pool_span(pool, choice)[1] == 0:
        return NO_BACKEND_INDEX
    first = 0 if other == NO_BACKEND_INDEX else STEPS
    for step in range(first, first + STEPS_OF_TRY * TRIES, STEPS_OF_TRY):
        backend = _draw_slot(pool, choice, flow, step)
        lot = draw_number(flow, step + 2)
        if backend != other and has_room(pool, backend) and _is_in(pool, backend, flow, lot):
            return backend
    return _draw_of_all(pool, choice, flow, other, first + STEPS_OF_TRY * TRIES)


@kernel
def _draw_slot(pool: Pool, choice: int, flow: NewFlow, step: int) -> int:
    """Return a backend of the pool, whether or not it has room."""
    first, size = pool_span(pool, choice)
    slot = draw_number(flow, step) * size >> DRAW_BITS
    record = pool.choices[choice]
    if record["ring_size"] > 0:
        at = record["ring_start"] + 2 * slot
        if draw_number(flow, step + 1) >= pool.rings[at]:
            return i64(pool.rings[at + 1])
    return i64(pool.rings[first + slot])


@kernel
def _is_in(pool: Pool, backend: int, flow: NewFlow, lot: int) -> bool:
    """Return whether a lot of 31 bits is in the share of its weight that a backend has by now."""
    whole = i64(pool.backends[backend]["weight"])
    return bool(lot * whole < weight_now(pool, backend, flow.now) << DRAW_BITS)


@rare_kernel
def _draw_of_all(pool: Pool, choice: int, flow: NewFlow, other: int, step: int) -> int:
    """Return what `draw_other()` does, having looked at the whole pool twice."""
    first, size = pool_span(pool, choice)
    total = 0
    for at in range(first, first + size):
        total += _share_of(pool, choice, i64(pool.rings[at]), flow, other)
    if total == 0:
        return NO_BACKEND_INDEX
    left = (draw_number(flow, step) << DRAW_BITS | draw_number(flow, step + 1)) % total
    at = first
    while left >= 0:
        left -= _share_of(pool, choice, i64(pool.rings[at]), flow, other)
        at += 1
    return i64(pool.rings[at - 1])


@kernel
def _share_of(pool: Pool, choice: int, backend: int, flow: NewFlow, other: int) -> int:
    """Return what a backend is drawn by: its weight, or in slow start the part of it; or 0."""
    if backend == other or not has_room(pool, backend):
        return 0
    weight = weight_now(pool, backend, flow.now)
    if pool.choices[choice]["ring_size"] > 0:
        return weight
    return weight * ALL_OF_IT // i64(pool.backends[backend]["weight"])
