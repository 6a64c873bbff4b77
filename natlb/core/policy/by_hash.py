"""What policies that hash have in common: one hash leads to one backend, on every node.

Two balancers of one seed and pool agree on every flow while their backends have room for it: what
is read is the spread hash and what the compiling half made of names, never a turn, a draw, an
index or the order of the configuration. Where load decides, they agree as far as loads do.
"""

from __future__ import annotations

import math

from natlb.core.hashing import WORD, second_hash
from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NewFlow,
    Pool,
    has_room,
    is_admitted_by_hash,
    pool_span,
)
from natlb.jit import i64, kernel, rare_kernel

TRIES = 16  # owners looked at; then the pool is gone through


@kernel
def slot_owner(pool: Pool, choice: int, slot: int) -> int:
    """Return the backend that owns a slot of the ring, whose slots begin again after the last."""
    record = pool.choices[choice]
    return i64(pool.rings[record["ring_start"] + slot % record["ring_size"]])


@rare_kernel
def pick_from_slots(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the owner of this flow's slot of the ring, or of one of the slots behind it."""
    if pool.choices[choice]["ring_size"] == 0:
        return NO_BACKEND_INDEX
    for step in range(TRIES):
        backend = slot_owner(pool, choice, flow.spread_hash + step)
        if is_admitted_by_hash(pool, backend, flow):
            return backend
    return pick_by_score(pool, choice, flow)


@rare_kernel
def pick_by_score(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return who scores highest for this flow of those that admit it, else of those with room.

    Rendezvous over the whole pool, so its order does not count. A score is -weight / ln(u), where
    u is of flow and backend, between 0 and 1: so each wins as often as its weight says (the
    logarithmic method: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005).
    NO_BACKEND_INDEX: nobody has room.
    """
    first, size = pool_span(pool, choice)
    chosen, highest, is_taken = NO_BACKEND_INDEX, 0.0, False
    for at in range(first, first + size):
        backend = i64(pool.rings[at])
        if not has_room(pool, backend):
            continue
        admits = is_admitted_by_hash(pool, backend, flow)
        unit = (score_of(pool, backend, flow) + 0.5) / (WORD + 1)
        score = -i64(pool.backends[backend]["weight"]) / math.log(unit)
        if (admits and not is_taken) or (admits == is_taken and score > highest):
            chosen, highest, is_taken = backend, score, admits
    return chosen


@kernel
def score_of(pool: Pool, backend: int, flow: NewFlow) -> int:
    """Return 32 bits of flow and backend, the same on every node.

    Hashed once more than slow start's lot, which would favour those that hardly admit the flow.
    """
    identity = i64(pool.backends[backend]["identity"])
    return second_hash(second_hash(flow.spread_hash) ^ identity)
