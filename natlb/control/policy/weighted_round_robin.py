"""Smooth weighted round robin: reads weights as they are at each pick, so nothing is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_weighted_round_robin(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool: the turns are kept with the backends."""
    return Compiled()
