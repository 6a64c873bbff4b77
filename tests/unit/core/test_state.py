from __future__ import annotations

from natlb.core.batch import Batch
from natlb.core.cooling import Cooling
from natlb.core.counters import Counters
from natlb.core.elsewhere import Elsewhere, Loads
from natlb.core.events import Events
from natlb.core.flow_table import FlowTable
from natlb.core.fragment_table import Fragments
from natlb.core.sources import Sources
from natlb.core.state import TTL_DIRECT, TTL_OWN, TTL_ROUTE, Core
from natlb.core.tables import Tables
from tests.datapath import engine


def test_a_core_is_all_that_a_worker_has() -> None:
    """What it reads, what it keeps, and the batch in hand: tables change, the rest stays."""
    path = engine()
    before = path._core
    path.set_backend("web/10.9.0.11:8080", weight=2)
    after = path._core

    shared = [Tables, FlowTable, Counters, Batch]
    own = [Fragments, Sources, Cooling, Events, Loads, Elsewhere]
    assert [type(part) for part in after] == [*shared, *own]
    assert Core._fields[:4] == ("tables", "flows", "counters", "batch")
    assert Core._fields[4:] == (
        "fragments",
        "sources",
        "cooling",
        "events",
        "loads",
        "elsewhere",
    )
    assert after.tables is not before.tables
    assert after[1:] == before[1:] or all(
        a is b for a, b in zip(after[1:], before[1:], strict=True)
    )


def test_ways_to_take_hops_are_told_apart() -> None:
    """They are an argument of every batch."""
    assert len({TTL_ROUTE, TTL_DIRECT, TTL_OWN}) == 3
