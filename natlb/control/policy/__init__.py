"""The compiling half of each policy: from a pool to what `pick()` looks up.

One file for each `compile()`, one line in this registry; `core/policy/` holds the picking half of
the same name.
"""

from __future__ import annotations

from natlb.control.policy.member import Member
from natlb.control.policy.order import Compiled, Compiler, Memory, Order
from natlb.control.policy.round_robin import compile_round_robin
from natlb.control.policy.source_hash import compile_source_hash

COMPILERS: dict[str, Compiler] = {
    "round-robin": compile_round_robin,
    "source-hash": compile_source_hash,
}

__all__ = ["COMPILERS", "Compiled", "Compiler", "Member", "Memory", "Order"]
