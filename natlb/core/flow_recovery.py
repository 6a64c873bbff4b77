"""What a worker that was killed between two stores leaves half done, finished by a bounded scan.

The order of stores in flow_table.py leaves at any instant: rows that are MAKING or ENDING, a
DETACHED row whose original key is in the index, rows on no list, a free list and a list of
unconfirmed flows that cannot be trusted, and counts that may be off by one. Nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.flow_table import FlowTable, finish_removal
from natlb.core.layout import (
    ANSWERED,
    CLOSED,
    CLOSING,
    CURRENT,
    DETACHED,
    DIRECT,
    DIRECT_ROWS,
    ENDING,
    EVICTED,
    EXPIRED,
    FIRST_LIVE,
    FREE,
    FREE_HEAD,
    FRESH,
    MAKING,
    OPENED,
    OPENING,
    PEAK,
    SWEEP,
)
from natlb.core.one_key import erase_original
from natlb.core.pressure import rebuild_unconfirmed
from natlb.jit import entry, i64, kernel

if TYPE_CHECKING:
    from natlb.core.counters import Counters


@entry
def recover(flows: FlowTable, counters: Counters) -> int:
    """Finish what was half done, and return how many rows that were.

    Reads each row that was ever used once (0.1 s for a million), and eight times more where there
    are unconfirmed flows. Run it before the first packet of a worker that takes a table over.
    """
    mended = _finish_halves(flows)
    _rebuild_free_list(flows)
    rebuild_unconfirmed(flows)
    _recount(flows, counters)
    flows.meta[SWEEP] = 1
    return mended


@kernel
def _finish_halves(flows: FlowTable) -> int:
    """Give back every row that was being made or ended, and how many; detach what was to be."""
    mended = 0
    for number in range(1, flows.meta[FRESH]):
        state = i64(flows.rows[number]["state"])
        if state == MAKING or state == ENDING:
            finish_removal(flows, number)
            mended += 1
        elif state == DETACHED:
            erase_original(flows, number)
    return mended


@kernel
def _rebuild_free_list(flows: FlowTable) -> None:
    """Link all free rows, lowest first, so that the table stays dense."""
    head = 0
    for number in range(flows.meta[FRESH] - 1, 0, -1):
        row = flows.rows[number]
        if i64(row["state"]) == FREE:
            row["link"] = head
            head = number
    flows.meta[FREE_HEAD] = head


@kernel
def _recount(flows: FlowTable, counters: Counters) -> None:
    """Count live flows anew: in all, for each backend and for each service."""
    for counts in (counters.backends, counters.services):
        counts["current"][:] = 0
        counts["opening"][:] = 0
        counts["closing"][:] = 0
    counters.loads[:] = 0
    current = direct = 0
    for number in range(1, flows.meta[FRESH]):
        row = flows.rows[number]
        state = i64(row["state"])
        if state == DIRECT:
            direct += 1
        if state >= FIRST_LIVE:
            current += 1
            opening = 1 if OPENING <= state <= ANSWERED else 0
            closing = 1 if state == CLOSING else 0
            for count in (
                counters.backends[i64(row["backend"])],
                counters.services[i64(row["service"])],
            ):
                count["current"] += 1
                count["opening"] += opening
                count["closing"] += closing
            counters.loads[i64(row["backend"])] += 1 - closing
    flows.meta[CURRENT] = current
    flows.meta[DIRECT_ROWS] = direct
    flows.meta[PEAK] = max(flows.meta[PEAK], current)
    _balance(flows)


@kernel
def _balance(flows: FlowTable) -> None:
    """Let what was opened be what ended and what lives; an ending of unknown cause is a closing."""
    meta = flows.meta
    unaccounted = meta[OPENED] - meta[CLOSED] - meta[EXPIRED] - meta[EVICTED] - meta[CURRENT]
    meta[OPENED] += max(0, -unaccounted)
    meta[CLOSED] += max(0, unaccounted)
