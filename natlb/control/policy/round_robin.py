"""Round robin: the pool itself is all it needs; it knows no weight but "nothing"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from natlb.control.policy.order import Order


def compile_round_robin(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool."""
    return Compiled()
