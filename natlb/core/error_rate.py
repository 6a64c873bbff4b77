"""How many errors and resets of its own natlb sends: a token bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.state import Core


@kernel
def may_send_error(core: Core) -> bool:
    """Return whether one more error may be sent now, and count it."""
    return True
