"""Random: each backend as likely as any other, whatever its weight (HAProxy: `random(1)`)."""

from __future__ import annotations

from natlb.core.policy.draws import draw_other
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool
from natlb.jit import rare_kernel


@rare_kernel
def pick_random(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return one of the backends that have room; its compiling half makes no table."""
    return draw_other(pool, choice, flow, NO_BACKEND_INDEX)
