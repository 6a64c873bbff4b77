"""Weighted least connections: nothing beside the pool; loads and weights are read at each pick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_weighted_least_connections(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool."""
    return Compiled()
