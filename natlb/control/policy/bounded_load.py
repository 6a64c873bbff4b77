"""Bounded load: the ring of Maglev or of rendezvous, and the factor that caps are worked out by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.policy.maglev import compile_maglev
from natlb.control.policy.parameters import thousandths
from natlb.control.policy.rendezvous import compile_rendezvous

if TYPE_CHECKING:
    from natlb.control.policy.order import Compiled, Order

FACTOR = 1.25
BASES = {"maglev": compile_maglev, "rendezvous": compile_rendezvous}


def compile_bounded_load(order: Order) -> Compiled:
    """Return the answer of the policy that it is based on, and the factor in thousandths."""
    base = BASES[str(order.parameters.get("base", "maglev"))]
    return replace(base(order), parameters=(thousandths(order, "factor", FACTOR),))
