"""Weighted random: an alias table of the pool's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.alias import alias_table
from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_weighted_random(order: Order) -> Compiled:
    """Return the table as the ring."""
    return Compiled(ring=alias_table(order.members))
