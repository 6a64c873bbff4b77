"""Least connections: who has the fewest flows (IPVS: ip_vs_lc.c; HAProxy: leastconn).

Weights play no part, but 0 takes nothing and slow start holds back: a backend that has a tenth of
its share takes part in a tenth of the picks and counts each flow ten times. Without that, a new one
would get every flow until it has as many as the others: all that comes for minutes, on a server
whose caches are cold. What IPVS
counts for load, and why that herds, is said in `weighted_least_connections.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.least import Measure, pick_least_loaded
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_least_connections(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return a backend with the fewest flows; of several, any with equal chance."""
    return pick_least_loaded(pool, choice, flow, Measure(coming=0, idle=0, is_weighted=False))
