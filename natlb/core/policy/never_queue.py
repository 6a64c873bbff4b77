"""Never queue: an idle backend at once, and else the shortest expected delay (IPVS: ip_vs_nq.c).

IPVS takes the first idle one of its list, and idle is who has no active connection, so one with
thousands that open is idle too. Here idle is who has no flow, and of several any may be the one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.least import Measure, pick_least_loaded
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_never_queue(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return a backend without flows, whatever it weighs, or that of least (load + 1) / weight."""
    return pick_least_loaded(pool, choice, flow, Measure(coming=1, idle=0, is_weighted=True))
