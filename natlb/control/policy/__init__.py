"""The compiling half of each policy: from a pool to what `pick()` looks up.

One file for each `compile()`, one line in this registry; `core/policy/` holds the picking half of
the same name.
"""

from __future__ import annotations

from natlb.control.policy.anchor import compile_anchor
from natlb.control.policy.bounded_load import compile_bounded_load
from natlb.control.policy.destination_hash import compile_destination_hash
from natlb.control.policy.first import compile_first
from natlb.control.policy.least_connections import compile_least_connections
from natlb.control.policy.least_response_time import compile_least_response_time
from natlb.control.policy.maglev import compile_maglev
from natlb.control.policy.member import Member
from natlb.control.policy.never_queue import compile_never_queue
from natlb.control.policy.order import Compiled, Compiler, Memory, Order
from natlb.control.policy.power_of_two import compile_power_of_two
from natlb.control.policy.python import compile_python
from natlb.control.policy.random import compile_random
from natlb.control.policy.rendezvous import compile_rendezvous
from natlb.control.policy.round_robin import compile_round_robin
from natlb.control.policy.shortest_expected_delay import compile_shortest_expected_delay
from natlb.control.policy.source_hash import compile_source_hash
from natlb.control.policy.weighted_least_connections import compile_weighted_least_connections
from natlb.control.policy.weighted_random import compile_weighted_random
from natlb.control.policy.weighted_round_robin import compile_weighted_round_robin

COMPILERS: dict[str, Compiler] = {
    "round-robin": compile_round_robin,
    "source-hash": compile_source_hash,
    "weighted-round-robin": compile_weighted_round_robin,
    "random": compile_random,
    "weighted-random": compile_weighted_random,
    "power-of-two": compile_power_of_two,
    "first": compile_first,
    "failover": compile_first,
    "least-connections": compile_least_connections,
    "weighted-least-connections": compile_weighted_least_connections,
    "shortest-expected-delay": compile_shortest_expected_delay,
    "never-queue": compile_never_queue,
    "destination-hash": compile_destination_hash,
    "maglev": compile_maglev,
    "rendezvous": compile_rendezvous,
    "anchor": compile_anchor,
    "bounded-load": compile_bounded_load,
    "least-response-time": compile_least_response_time,
    "python": compile_python,
}

__all__ = ["COMPILERS", "Compiled", "Compiler", "Member", "Memory", "Order"]
