from __future__ import annotations

from natlb.core.policy.pool import NO_BACKEND_INDEX, Pool
from tests.datapath import engine


def test_a_pool_is_made_of_what_the_core_has() -> None:
    """No copy: a policy reads counts as they are now."""
    path = engine()
    tables, counters = path._core.tables, path._core.counters
    pool = Pool(tables.services, tables.rings, tables.backends, counters.backends, counters.policy)
    counters.backends[1]["current"] = 9

    assert pool.load[1]["current"] == 9
    assert pool.rings.flags.writeable is False


def test_no_backend_is_no_index() -> None:
    """Zero is one."""
    assert NO_BACKEND_INDEX < 0
