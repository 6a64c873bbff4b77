"""Who may open a flow, and how many there may be: access lists, limits by service and client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import rare_kernel
from natlb.wire.reasons import ACCEPTED

if TYPE_CHECKING:
    from natlb.core.state import Core


@rare_kernel
def judge_new_flow(core: Core, i: int, service: int) -> int:
    """Return ACCEPTED, or the reason why this packet may not begin a flow."""
    return ACCEPTED


@rare_kernel
def note_flow_opened(core: Core, row: Any) -> None:
    """Count a flow for its client."""


@rare_kernel
def note_flow_ended(core: Core, row: Any) -> None:
    """Count a flow off for its client."""
