"""A policy of the user's own, as tables know it: the pool itself, and a number for the program.

Which program that is, `control/compile/programs.py` says; how it is compiled, `program.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_python(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool; what is hashed is the client's address."""
    return Compiled()
