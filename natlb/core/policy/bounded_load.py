"""Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018).

A backend's cap is its share of the flows that there will be, by weight, times a factor c > 1:

    cap = ceil(c * (flows + 1) * weight / weights)     of the pool, as it is now

A flow goes to the owner of its slot, or past those at their cap to the first behind it that is
not. Caps together exceed flows, so there is always one; `parameter0` is c in thousandths. The
slots are Maglev's or rendezvous', as the configuration says.
"""

from __future__ import annotations

from natlb.core.policy.by_hash import score_of, slot_owner
from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NewFlow,
    Pool,
    has_room,
    is_admitted_by_hash,
    load_of,
    pool_span,
    service_of,
    weight_now,
)
from natlb.jit import i64, kernel, rare_kernel

WALK = 64  # slots looked at: with c = 1.25, one flow in 10^6 finds 64 owners at their cap
ONE = 1000  # what a factor of 1 is in `parameter0`


@rare_kernel
def pick_bounded_load(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the first owner below its cap from this flow's slot on, else the least loaded.

    The walk shares by the weights of the configuration, which in slow start are too many: caps
    come out lower, never higher, and whoever is left over is placed by the exact ones. A cap is
    one flow at least, so who is in slow start is asked too whether it admits the flow.
    """
    record = pool.choices[choice]
    if record["ring_size"] == 0:
        return NO_BACKEND_INDEX
    weights, flows = i64(record["weights"]), flows_of_pool(pool, choice)
    for step in range(WALK):
        backend = slot_owner(pool, choice, flow.spread_hash + step)
        if is_admitted_by_hash(pool, backend, flow):
            cap = cap_of(pool, choice, weight_now(pool, backend, flow.now), weights, flows)
            if load_of(pool, backend) < cap:
                return backend
    return _least_loaded(pool, choice, flow, flows)


@kernel
def flows_of_pool(pool: Pool, choice: int) -> int:
    """Return how many flows the pool has: those of its service, unless others have some of them.

    A backend that drains or is down keeps flows, but takes none of the next ones: were its flows
    shared among the pool as well, caps would be too high by them, and nobody bounded.
    """
    service = service_of(choice)
    if pool.services[service]["has_others"] == 0:
        total = pool.total[service]
        return i64(total["current"] - total["closing"] + pool.elsewhere.services[service])
    first, size = pool_span(pool, choice)
    flows = 0
    for at in range(first, first + size):
        flows += load_of(pool, i64(pool.rings[at]))
    return flows


@kernel
def cap_of(pool: Pool, choice: int, weight: int, weights: int, flows: int) -> int:
    """Return how many flows a backend of this weight may have once one more than these is placed.

    A factor is 10,000 at most, flows 2^24, a weight 2^24 and all together 2^40: below 2^62.
    """
    shares = ONE * weights
    return (i64(pool.choices[choice]["parameter0"]) * (flows + 1) * weight + shares - 1) // shares


@rare_kernel
def _least_loaded(pool: Pool, choice: int, flow: NewFlow, flows: int) -> int:
    """Return who has the least flows for its cap of those that have room.

    Below its cap, except where `max_flows` keeps all those out that are. Of equals, the one that
    scores highest for this flow.
    """
    first, size = pool_span(pool, choice)
    weights = 0
    for at in range(first, first + size):
        weights += weight_now(pool, i64(pool.rings[at]), flow.now)
    chosen, least, most, highest = NO_BACKEND_INDEX, 0, 0, 0
    for at in range(first, first + size):
        backend = i64(pool.rings[at])
        if not has_room(pool, backend):
            continue
        load = load_of(pool, backend)
        cap = cap_of(pool, choice, weight_now(pool, backend, flow.now), weights, flows)
        score = score_of(pool, backend, flow)
        ahead = least * cap - load * most
        if chosen == NO_BACKEND_INDEX or ahead > 0 or (ahead == 0 and score > highest):
            chosen, least, most, highest = backend, load, cap, score
    return chosen
