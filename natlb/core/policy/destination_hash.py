"""Destination hash: what was called decides (IPVS: ip_vs_dh.c).

For services of many VIPs or ports, each of which should always meet the same cache behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.by_hash import pick_from_slots
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_destination_hash(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that owns the slot of what was called, or one of those behind it."""
    return pick_from_slots(pool, choice, flow)
