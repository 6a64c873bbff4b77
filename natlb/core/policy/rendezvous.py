"""Rendezvous hashing (Thaler and Ravishankar, 1998), by slots: no move that is not necessary.

Who scores highest on a slot is worked out by the compiling half, so to look up costs no more with
a thousand backends than with two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.by_hash import pick_from_slots
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_rendezvous(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that scores highest on this flow's slot, or on one behind it."""
    return pick_from_slots(pool, choice, flow)
