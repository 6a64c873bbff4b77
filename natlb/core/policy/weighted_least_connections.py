"""Weighted least connections: who has the fewest flows for its weight (IPVS: ip_vs_wlc.c).

IPVS's load is 256 for each active connection and 1 for an inactive one, where a connection is
inactive until its handshake is over, and UDP never is active: what opens does not weigh, and a
burst of SYNs all goes to one server. Here what is opening weighs as much as what is established.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.policy.least import Measure, pick_least_loaded
from natlb.jit import kernel

if TYPE_CHECKING:
    from natlb.core.policy.pool import NewFlow, Pool


@kernel
def pick_weighted_least_connections(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return a backend for which load / weight is least; of several, any with equal chance.

    So idle ones are equals, whatever they weigh; `shortest-expected-delay` tells them apart.
    """
    return pick_least_loaded(pool, choice, flow, Measure(coming=0, idle=0, is_weighted=True))
