"""Power of two choices: both are drawn by weight, from an alias table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.alias import alias_table
from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_power_of_two(order: Order) -> Compiled:
    """Return the table as the ring."""
    return Compiled(ring=alias_table(order.members))
