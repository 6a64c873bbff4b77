"""Least response time: nothing beside the pool; times, loads and weights are read at each pick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_least_response_time(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool."""
    return Compiled()
