"""Source hash: who calls decides, so one client stays with one backend (IPVS: ip_vs_sh.c).

How slots are given to backends, and how few move with a change, is said by the compiling half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.by_hash import pick_from_slots
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_source_hash(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that owns this client's slot of the ring, or one of those behind it."""
    return pick_from_slots(pool, choice, flow)
