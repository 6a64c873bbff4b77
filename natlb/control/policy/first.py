"""First, or failover: the pool is in the order of preference already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_first(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool, which has only backends that are ready."""
    return Compiled()
