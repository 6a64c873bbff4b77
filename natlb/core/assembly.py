"""A worker's core put together: the memory it was given, and what it keeps for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.cooling import make_cooling
from natlb.core.elsewhere import nothing_elsewhere
from natlb.core.fragment_table import make_fragments
from natlb.core.layout import ROWS
from natlb.core.memory import Kind, load_items, make
from natlb.core.sources import count_all_sources, make_sources
from natlb.core.state import Core
from natlb.core.steering import share_of
from natlb.core.tables import FRAGMENTS, MOST_PER_SOURCE, SOURCES4, SOURCES6

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.counters import Counters
    from natlb.core.elsewhere import Loads
    from natlb.core.events import Events
    from natlb.core.flow_table import FlowTable
    from natlb.core.tables import Tables


def assemble(
    tables: Tables,
    flows: FlowTable,
    counters: Counters,
    batch: Batch,
    events: Events | None = None,
    loads: Loads | None = None,
) -> Core:
    """Return a core with memory of its own as large as its tables ask for.

    Of the fragments that may be followed at once each of several workers has its share.

    Events and loads that nobody gave a place for are written where nobody reads them.

    The flows that are in the table already are counted for their clients.

    Another generation of tables is taken with `core._replace(tables=...)`: what the size of this
    memory depends on changes with a restart alone.
    """
    numbers = tables.numbers
    rows = int(flows.meta[ROWS])
    is_full_nat_possible = numbers[SOURCES4] + numbers[SOURCES6] > 0
    sources = make_sources(rows if numbers[MOST_PER_SOURCE] else 0)
    if numbers[MOST_PER_SOURCE]:
        count_all_sources(sources, flows)
    return Core(
        tables=tables,
        flows=flows,
        counters=counters,
        batch=batch,
        fragments=make_fragments(share_of(flows.meta, int(numbers[FRAGMENTS]))),
        sources=sources,
        cooling=make_cooling(rows if is_full_nat_possible else 0),
        events=make(Kind.EVENTS) if events is None else events,
        loads=make(Kind.LOADS, **load_items(1)) if loads is None else loads,
        elsewhere=nothing_elsewhere(),
    )
