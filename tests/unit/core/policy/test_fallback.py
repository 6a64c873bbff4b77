from __future__ import annotations

from natlb.core.layout import WORD_FALLBACKS
from natlb.core.policy.fallback import fall_back
from natlb.core.policy.pool import NO_BACKEND_INDEX
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of

needs_plain_kernels()


def test_it_gives_turns_by_weight_and_counts() -> None:
    """The third of four goes to the lighter one."""
    pool = pool_of([3, 1])

    assert [fall_back(pool, 0, flow_of()) - FIRST for _ in range(4)] == [0, 0, 1, 0]
    assert pool.own[WORD_FALLBACKS] == 4


def test_nobody_is_not_counted() -> None:
    """An empty pool has no choice."""
    pool = pool_of([])

    assert fall_back(pool, 0, flow_of()) == NO_BACKEND_INDEX
    assert pool.own[WORD_FALLBACKS] == 0
