"""UDP services that choose a backend anew after some answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core


@rare_kernel
def is_answered_enough(core: Core, row: Any) -> bool:
    """Return whether a flow's next datagram is to be given a new choice."""
    return False
