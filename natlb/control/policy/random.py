"""Random: backends are equal, so there is no table to draw them by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_random(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool."""
    return Compiled()
