"""All that the data plane works on, and how packets leave: the arguments of every stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.cooling import Cooling
    from natlb.core.counters import Counters
    from natlb.core.elsewhere import Elsewhere, Loads
    from natlb.core.events import Events
    from natlb.core.flow_table import FlowTable
    from natlb.core.fragment_table import Fragments
    from natlb.core.sources import Sources
    from natlb.core.tables import Tables


class Core(NamedTuple):
    """A worker's whole world: what it reads, what it keeps, and the batch in hand.

    Tables, flows, counters, events and loads outlive the worker; the rest is its own, and may be
    lost with it.
    """

    tables: Tables
    flows: FlowTable
    counters: Counters
    batch: Batch
    fragments: Fragments
    sources: Sources
    cooling: Cooling
    events: Events
    loads: Loads
    elsewhere: Elsewhere


# Who takes the hops that a packet pays for passing (`ttl=` of the engine)
TTL_ROUTE = 0  # the kernel: one on the way in, one on the way out
TTL_DIRECT = 1  # the kernel: one on the way in
TTL_OWN = 2  # natlb: one
