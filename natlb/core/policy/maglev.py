"""Maglev hashing (Eisenbud et al., NSDI 2016, 3.4): even shares, at the price of a few moves.

The table is made by the compiling half; to look a flow up is to read one slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.by_hash import pick_from_slots
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_maglev(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that owns this flow's slot of the table, or one of the slots behind it."""
    return pick_from_slots(pool, choice, flow)
