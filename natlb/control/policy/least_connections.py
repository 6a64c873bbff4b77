"""Least connections: the pool itself is all it needs; it counts flows as they are when it picks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_least_connections(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool."""
    return Compiled()
