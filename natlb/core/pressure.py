"""Flows that nobody has confirmed, oldest first: what makes room in a table under pressure.

Anybody can make a flow with one forged packet. Until there is a sign that somebody is at either
end (TCP established, UDP answered), the flow stands in this list, and may be given up for another
(`relief.py`). A closing flow that was never established, or a detached one that was never answered,
stays in it.

The list is linked through the rows: `link` leads to the next younger, `back` to the next older.
Joining touches the youngest row, leaving both neighbours, and nothing is searched. The order of
these stores does not matter: whoever takes over a dead worker's table makes the list anew.

Law
    Every live row with MARK_UNCONFIRMED is in the list, once, and no other row is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    CREATED_SHIFT,
    DETACHED,
    FRESH,
    MARK_UNCONFIRMED,
    OLDEST,
    OPENING,
    TICK,
    UNCONFIRMED,
    UNREPLIED,
    YOUNGEST,
)
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable, Row

NOBODY = 0
WORD = 0xFFFFFFFF
HALF_RANGE = 1 << 31
AGE_CLASSES = 8  # that recovery tells apart, each a pass over the rows (10 ms for a million)


@kernel
def join_unconfirmed(flows: FlowTable, number: int) -> None:
    """Put a new row at the young end of the list of those that may be evicted."""
    meta = flows.meta
    row = flows.rows[number]
    youngest = meta[YOUNGEST]
    row["marks"] = i64(row["marks"]) | MARK_UNCONFIRMED
    row["link"] = NOBODY
    row["back"] = youngest
    if youngest == NOBODY:
        meta[OLDEST] = number
    else:
        flows.rows[youngest]["link"] = number
    meta[YOUNGEST] = number
    meta[UNCONFIRMED] += 1


@kernel
def leave_unconfirmed(flows: FlowTable, row: Any) -> None:
    """Take a row that is marked MARK_UNCONFIRMED out of the list."""
    meta = flows.meta
    younger, older = i64(row["link"]), i64(row["back"])
    if older == NOBODY:
        meta[OLDEST] = younger
    else:
        flows.rows[older]["link"] = younger
    if younger == NOBODY:
        meta[YOUNGEST] = older
    else:
        flows.rows[younger]["back"] = older
    row["marks"] = i64(row["marks"]) & ~MARK_UNCONFIRMED & 0xFFFF
    meta[UNCONFIRMED] -= 1


@kernel
def rebuild_unconfirmed(flows: FlowTable) -> None:
    """Make the list anew from the rows, in eight classes of age, each in the order of the rows.

    So the youngest of those that a flood has left are told from the oldest, which is all that
    matters: a handshake under way is among the youngest.
    """
    meta = flows.meta
    meta[OLDEST] = NOBODY
    meta[YOUNGEST] = NOBODY
    meta[UNCONFIRMED] = 0
    first, last = WORD, 0
    for number in range(1, meta[FRESH]):
        row = flows.rows[number]
        if _is_unconfirmed(row):
            first = min(first, _time_made(flows, row))
            last = max(last, _time_made(flows, row))
        elif i64(row["marks"]) & MARK_UNCONFIRMED:
            row["marks"] = i64(row["marks"]) & ~MARK_UNCONFIRMED & 0xFFFF
    if first <= last:
        for age_class in range(AGE_CLASSES):
            _join_class(flows, age_class, first, last - first + 1)


@kernel
def _join_class(flows: FlowTable, age_class: int, first: int, span: int) -> None:
    """Let the unconfirmed flows join that were made in one eighth of `span` from `first` on."""
    for number in range(1, flows.meta[FRESH]):
        row = flows.rows[number]
        if _is_unconfirmed(row):
            made = _time_made(flows, row) - first
            if made * AGE_CLASSES // span == age_class:
                join_unconfirmed(flows, number)


@kernel
def _is_unconfirmed(row: Row) -> bool:
    """Return whether a row belongs in the list, whatever its worker came to store last."""
    state = i64(row["state"])
    if state == CLOSING or state == DETACHED:
        return bool(i64(row["marks"]) & MARK_UNCONFIRMED)
    return OPENING <= state <= ANSWERED or state == UNREPLIED


@kernel
def _time_made(flows: FlowTable, row: Row) -> int:
    """Return when a flow was made, in steps of 32 ms, so that two can be compared."""
    last_tick = flows.meta[TICK] >> CREATED_SHIFT
    return i64((i64(row["created"]) - last_tick + HALF_RANGE) & WORD)
