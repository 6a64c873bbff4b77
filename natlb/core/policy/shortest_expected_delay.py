"""Shortest expected delay: who would have the least to do with one more (IPVS: ip_vs_sed.c).

The flow that is being placed counts too: (load + 1) / weight. IPVS leaves out its inactive
connections, those that open among them, so under a burst of SYNs the server of the largest weight
gets all of them; load here is what opens and what is established.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.least import Measure, pick_least_loaded
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_shortest_expected_delay(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return a backend for which (load + 1) / weight is least; of several, any with equal chance.

    While there are few flows, all go to the heavy backends, and light ones stay idle.
    """
    return pick_least_loaded(pool, choice, flow, Measure(coming=1, idle=1, is_weighted=True))
