"""Policies: how a new flow gets its backend. One file for each `pick()`, one line in this registry.

A policy is a pair of the same name: `pick()` here (numbers, fast, once per flow) and `compile()`
in `control/policy/` (objects, slow, once per change of the pool).
"""

from __future__ import annotations

from natlb.core.layout import FIRST_PROGRAM
from natlb.core.policy.anchor import pick_anchor
from natlb.core.policy.bounded_load import pick_bounded_load
from natlb.core.policy.destination_hash import pick_destination_hash
from natlb.core.policy.fallback import fall_back
from natlb.core.policy.first import pick_first
from natlb.core.policy.least_connections import pick_least_connections
from natlb.core.policy.least_response_time import pick_least_response_time
from natlb.core.policy.maglev import pick_maglev
from natlb.core.policy.never_queue import pick_never_queue
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool
from natlb.core.policy.power_of_two import pick_power_of_two
from natlb.core.policy.random import pick_random
from natlb.core.policy.rendezvous import pick_rendezvous
from natlb.core.policy.round_robin import pick_round_robin
from natlb.core.policy.shortest_expected_delay import pick_shortest_expected_delay
from natlb.core.policy.source_hash import pick_source_hash
from natlb.core.policy.weighted_least_connections import pick_weighted_least_connections
from natlb.core.policy.weighted_random import pick_weighted_random
from natlb.core.policy.weighted_round_robin import pick_weighted_round_robin
from natlb.jit import entry, i64, kernel

# The number of a policy, which tables hold, is its place here.
POLICY_NAMES = (
    "round-robin",
    "weighted-round-robin",
    "random",
    "weighted-random",
    "power-of-two",
    "first",
    "failover",
    "least-connections",
    "weighted-least-connections",
    "shortest-expected-delay",
    "never-queue",
    "least-response-time",
    "source-hash",
    "destination-hash",
    "maglev",
    "rendezvous",
    "anchor",
    "bounded-load",
)
ROUND_ROBIN, WEIGHTED_ROUND_ROBIN, RANDOM, WEIGHTED_RANDOM, POWER_OF_TWO = range(5)
FIRST, FAILOVER, LEAST_CONNECTIONS, WEIGHTED_LEAST_CONNECTIONS = range(5, 9)
SHORTEST_EXPECTED_DELAY, NEVER_QUEUE, LEAST_RESPONSE_TIME = range(9, 12)
SOURCE_HASH, DESTINATION_HASH, MAGLEV, RENDEZVOUS, ANCHOR, BOUNDED_LOAD = range(12, 18)

__all__ = ["NO_BACKEND_INDEX", "POLICY_NAMES", "NewFlow", "Pool", "pick"]


@entry
def pick(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the index of the backend that a choice's policy gives to a new flow; -1 for none.

    The pipeline takes this as an argument of a function type: another one can be swapped in.
    """
    policy = i64(pool.choices[choice]["policy"])
    if policy <= FAILOVER:
        return _pick_by_turn(pool, choice, flow, policy)
    if policy <= LEAST_RESPONSE_TIME:
        return _pick_by_load(pool, choice, flow, policy)
    if policy <= BOUNDED_LOAD:
        return _pick_by_hash(pool, choice, flow, policy)
    if policy >= FIRST_PROGRAM:
        return fall_back(pool, choice, flow)  # one that this worker was not given
    return NO_BACKEND_INDEX


@kernel
def _pick_by_turn(pool: Pool, choice: int, flow: NewFlow, policy: int) -> int:
    """Do `pick()` for the policies that take turns, draw, or fill up."""
    if policy == ROUND_ROBIN:
        return pick_round_robin(pool, choice, flow)
    if policy == WEIGHTED_ROUND_ROBIN:
        return pick_weighted_round_robin(pool, choice, flow)
    if policy == RANDOM:
        return pick_random(pool, choice, flow)
    if policy == WEIGHTED_RANDOM:
        return pick_weighted_random(pool, choice, flow)
    if policy == POWER_OF_TWO:
        return pick_power_of_two(pool, choice, flow)
    return pick_first(pool, choice, flow)


@kernel
def _pick_by_load(pool: Pool, choice: int, flow: NewFlow, policy: int) -> int:
    """Do `pick()` for the policies that go through the pool and look at loads."""
    if policy == LEAST_CONNECTIONS:
        return pick_least_connections(pool, choice, flow)
    if policy == WEIGHTED_LEAST_CONNECTIONS:
        return pick_weighted_least_connections(pool, choice, flow)
    if policy == SHORTEST_EXPECTED_DELAY:
        return pick_shortest_expected_delay(pool, choice, flow)
    if policy == NEVER_QUEUE:
        return pick_never_queue(pool, choice, flow)
    return pick_least_response_time(pool, choice, flow)


@kernel
def _pick_by_hash(pool: Pool, choice: int, flow: NewFlow, policy: int) -> int:
    """Do `pick()` for the policies by which a flow's hash decides."""
    if policy == SOURCE_HASH:
        return pick_source_hash(pool, choice, flow)
    if policy == DESTINATION_HASH:
        return pick_destination_hash(pool, choice, flow)
    if policy == MAGLEV:
        return pick_maglev(pool, choice, flow)
    if policy == RENDEZVOUS:
        return pick_rendezvous(pool, choice, flow)
    if policy == ANCHOR:
        return pick_anchor(pool, choice, flow)
    return pick_bounded_load(pool, choice, flow)
