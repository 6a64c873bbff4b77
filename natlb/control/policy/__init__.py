"""The compiling half of each policy: from a pool to what `pick()` looks up.

One line in this registry for each, and one file for each table; `core/policy/` holds the picking
half of the same name. Most policies look nothing up: loads, weights and turns are read as they are.
"""

from __future__ import annotations

from natlb.control.policy.alias import compile_alias_table
from natlb.control.policy.anchor import compile_anchor
from natlb.control.policy.bounded_load import compile_bounded_load
from natlb.control.policy.destination_hash import compile_destination_hash
from natlb.control.policy.maglev import compile_maglev
from natlb.control.policy.member import Member
from natlb.control.policy.order import Compiled, Compiler, Memory, Order, compile_nothing
from natlb.control.policy.python import compile_python
from natlb.control.policy.rendezvous import compile_rendezvous
from natlb.control.policy.source_hash import compile_source_hash

COMPILERS: dict[str, Compiler] = {
    "round-robin": compile_nothing,
    "weighted-round-robin": compile_nothing,
    "random": compile_nothing,
    "weighted-random": compile_alias_table,
    "power-of-two": compile_alias_table,
    "first": compile_nothing,
    "failover": compile_nothing,
    "least-connections": compile_nothing,
    "weighted-least-connections": compile_nothing,
    "shortest-expected-delay": compile_nothing,
    "never-queue": compile_nothing,
    "least-response-time": compile_nothing,
    "source-hash": compile_source_hash,
    "destination-hash": compile_destination_hash,
    "maglev": compile_maglev,
    "rendezvous": compile_rendezvous,
    "anchor": compile_anchor,
    "bounded-load": compile_bounded_load,
    "python": compile_python,
}

__all__ = ["COMPILERS", "Compiled", "Compiler", "Member", "Memory", "Order"]
