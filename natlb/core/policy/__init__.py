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
from natlb.jit import entry, i64, rare_kernel

# The number of a policy is its place here: tables hold it, so new ones are added at the end.
POLICY_NAMES = (
    "round-robin",
    "source-hash",
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
    "destination-hash",
    "maglev",
    "rendezvous",
    "anchor",
    "bounded-load",
)
LEAST_CONNECTIONS = POLICY_NAMES.index("least-connections")
WEIGHTED_LEAST_CONNECTIONS = POLICY_NAMES.index("weighted-least-connections")
SHORTEST_EXPECTED_DELAY = POLICY_NAMES.index("shortest-expected-delay")
NEVER_QUEUE = POLICY_NAMES.index("never-queue")
LEAST_RESPONSE_TIME = POLICY_NAMES.index("least-response-time")
DESTINATION_HASH = POLICY_NAMES.index("destination-hash")
MAGLEV = POLICY_NAMES.index("maglev")
RENDEZVOUS = POLICY_NAMES.index("rendezvous")
ANCHOR = POLICY_NAMES.index("anchor")
BOUNDED_LOAD = POLICY_NAMES.index("bounded-load")

__all__ = ["NO_BACKEND_INDEX", "POLICY_NAMES", "NewFlow", "Pool", "pick"]


@entry
def pick(pool: Pool, choice: int, flow: NewFlow) -> int:  # noqa: C901, PLR0911 - one a policy
    """Return the index of the backend that a choice's policy gives to a new flow; -1 for none.

    The pipeline takes this as an argument of a function type: another one can be swapped in.
    """
    policy = i64(pool.choices[choice]["policy"])
    if policy == 0:
        return pick_round_robin(pool, choice, flow)
    if policy == 1:
        return pick_source_hash(pool, choice, flow)
    if policy == 2:
        return pick_weighted_round_robin(pool, choice, flow)
    if policy == 3:
        return pick_random(pool, choice, flow)
    if policy == 4:
        return pick_weighted_random(pool, choice, flow)
    if policy == 5:
        return pick_power_of_two(pool, choice, flow)
    if policy in (6, 7):  # two names of one policy
        return pick_first(pool, choice, flow)
    if LEAST_CONNECTIONS <= policy <= LEAST_RESPONSE_TIME:
        return _pick_by_load(pool, choice, flow, policy)
    if DESTINATION_HASH <= policy <= BOUNDED_LOAD:
        return _pick_by_hash(pool, choice, flow, policy)
    if policy >= FIRST_PROGRAM:
        return fall_back(pool, choice, flow)  # one that this worker was not given
    return NO_BACKEND_INDEX


@rare_kernel
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


@rare_kernel
def _pick_by_hash(pool: Pool, choice: int, flow: NewFlow, policy: int) -> int:
    """Do `pick()` for the policies by which a flow's hash decides."""
    if policy == DESTINATION_HASH:
        return pick_destination_hash(pool, choice, flow)
    if policy == MAGLEV:
        return pick_maglev(pool, choice, flow)
    if policy == RENDEZVOUS:
        return pick_rendezvous(pool, choice, flow)
    if policy == ANCHOR:
        return pick_anchor(pool, choice, flow)
    return pick_bounded_load(pool, choice, flow)
