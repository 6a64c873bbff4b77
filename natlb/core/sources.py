"""How many flows each client address has, for the limit on them (RFC 6888, REQ-4 and REQ-5).

An IPv6 client is its /64: whoever has one has all of it. The counts are the worker's own memory,
and are made anew from the rows where a worker begins. A row says by MARK_COUNTED that it is in
them, so that what is counted off was counted on, whatever happened in between.

Open-addressed with linear probing, hashed with the flow table's secret so that nobody can crowd
it; there is room for twice as many clients as the flow table has rows. An entry that goes is
filled from behind (Knuth, volume 3, 6.4, algorithm R), so there are no tombstones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.hashing import NO_PORT, spread_hash
from natlb.core.layout import FIRST_LIVE, FRESH, KEY0, KEY1, MARK_COUNTED
from natlb.jit import entry, i64, kernel
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.rewrite import Lanes, source_lanes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.flow_table import FlowTable, Key, Row

SOURCE_COUNT = np.dtype([*((f"source{lane}", np.uint32) for lane in range(4)), ("flows", np.int64)])
NO_PLACE = -1


class Sources(NamedTuple):
    """Client addresses and how many flows each has, open-addressed, at most half full."""

    counts: NDArray[np.void]  # SOURCE_COUNT[2^n]; no flows: the entry is empty


def make_sources(flows: int) -> Sources:
    """Return the memory for a table of so many flows; for none where there is no limit."""
    return Sources(np.zeros(2 << (flows - 1).bit_length() if flows else 1, SOURCE_COUNT))


@entry
def count_all_sources(sources: Sources, flows: FlowTable) -> None:
    """Count every live flow of a table for its client, into counts that are all zero."""
    for number in range(1, flows.meta[FRESH]):
        row = flows.rows[number]
        if i64(row["state"]) >= FIRST_LIVE:
            count_source(sources, flows, row)


@kernel
def client_of(key: Key) -> Lanes:
    """Return the address that a packet's sender is counted under: IPv4 whole, IPv6 its /64."""
    lanes = source_lanes(key)
    if lanes[0] == 0 and lanes[1] == 0 and lanes[2] == MAPPED_LANE:
        return lanes
    return lanes[0], lanes[1], 0, 0


@kernel
def flows_of_source(sources: Sources, flows: FlowTable, key: Key) -> int:
    """Return how many flows the sender of this key has."""
    at = _find(sources, flows, client_of(key))
    return 0 if at == NO_PLACE else i64(sources.counts[at]["flows"])


@kernel
def count_source(sources: Sources, flows: FlowTable, row: Row) -> None:
    """Count a flow for its client, and mark it so."""
    client = client_of(row["original"])
    at = _find(sources, flows, client)
    if at == NO_PLACE:
        return
    count = sources.counts[at]
    count["source0"], count["source1"], count["source2"], count["source3"] = client
    count["flows"] += 1
    row["marks"] = i64(row["marks"]) | MARK_COUNTED


@kernel
def discount_source(sources: Sources, flows: FlowTable, row: Row) -> None:
    """Count a marked flow off for its client; the last one takes the entry away."""
    at = _find(sources, flows, client_of(row["original"]))
    if at == NO_PLACE or sources.counts[at]["flows"] == 0:
        return
    row["marks"] = i64(row["marks"]) & ~MARK_COUNTED & 0xFFFF
    sources.counts[at]["flows"] -= 1
    if sources.counts[at]["flows"] == 0:
        _close_gap(sources, flows, at)


@kernel
def _home(sources: Sources, flows: FlowTable, client: Lanes) -> int:
    """Return where the search for a client begins."""
    hashed = spread_hash(flows.meta[KEY0], flows.meta[KEY1], client, NO_PORT)
    return i64(hashed & sources.counts.size - 1)


@kernel
def _find(sources: Sources, flows: FlowTable, client: Lanes) -> int:
    """Return where a client's entry is, or would be; NO_PLACE in a table that has no room."""
    counts = sources.counts
    at = _home(sources, flows, client)
    for _ in range(counts.size):
        if counts[at]["flows"] == 0 or source_lanes(counts[at]) == client:
            return at
        at = at + 1 & counts.size - 1
    return NO_PLACE


@kernel
def _close_gap(sources: Sources, flows: FlowTable, gap: int) -> None:
    """Move entries behind an empty one forward, so that each is found from its home again."""
    counts = sources.counts
    last = counts.size - 1
    at = gap + 1 & last
    while counts[at]["flows"] != 0:
        home = _home(sources, flows, source_lanes(counts[at]))
        if (at - home & last) >= (at - gap & last):
            counts[gap] = counts[at]
            counts[at]["flows"] = 0
            gap = at
        at = at + 1 & last
