"""A table under pressure: flows that nobody has confirmed make room, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable
    from natlb.core.state import Core


@kernel
def join_unconfirmed(flows: FlowTable, number: int) -> None:
    """Put a new row at the young end of the list of those that may be evicted."""


@kernel
def leave_unconfirmed(flows: FlowTable, row: Any) -> None:
    """Take a row that is marked MARK_UNCONFIRMED out of the list."""


@rare_kernel
def make_room(core: Core, now: int) -> bool:
    """Give at least one row back, and return whether there was one to give."""
    return False


@rare_kernel
def relieve(core: Core, now: int) -> None:
    """End the oldest unconfirmed flows whose time, shortened by the pressure, has run out."""
