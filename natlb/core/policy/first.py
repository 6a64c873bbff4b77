"""First, or failover: backends are filled one after the other, in the order of the configuration.

HAProxy: `balance first`. What is not needed stays empty and can be switched off; without limits
(`max_flows`) the first backend that is up gets everything, and the others stand by.
"""

from __future__ import annotations

from natlb.core.policy.pool import NO_BACKEND_INDEX, NOWHERE, NewFlow, Pool, find_next, pool_span
from natlb.jit import i64, rare_kernel


@rare_kernel
def pick_first(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the first backend that has room: the pool is in the order of the configuration.

    In slow start a backend takes its share of flows, and those behind it the rest.
    """
    at = find_next(pool, choice, 0, flow)
    if at == NOWHERE:
        return NO_BACKEND_INDEX
    return i64(pool.rings[pool_span(pool, choice)[0] + at])
