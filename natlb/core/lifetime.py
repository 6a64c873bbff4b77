"""How long a flow lives after its last packet, and the sweep that ends what has run out.

Times are milliseconds since the table's epoch. A row keeps the lowest 32 bits of its last
packet's time, so an age is right as long as the sweep comes by every 24 days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import NOW
from natlb.core.cooling import cool_down
from natlb.core.counters import account_ended
from natlb.core.events import is_overdue, is_unanswered, tell_unanswered
from natlb.core.flow_table import remove
from natlb.core.layout import (
    CLOSING,
    CREATED_SHIFT,
    DIRECT,
    EXPIRED,
    FIRST_FOUND,
    FRESH,
    MARK_DOUBTED,
    MARK_UNCONFIRMED,
    SWEEP,
)
from natlb.core.limits import note_flow_ended
from natlb.core.one_key import forget_direct
from natlb.core.pressure import leave_unconfirmed
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable
    from natlb.core.state import Core

WORD = 0xFFFFFFFF
HALF_RANGE = 1 << 31

# The sweep's pace: a piece is a 1024th of the rows in use and 16 rows more, and one is due every
# 2 ms, so the whole table is looked at in about two seconds (nat-behaviour: gone in T to T + 2 s).
PIECES = 1024
PIECE_EXTRA = 16
MOST_ENDED = 256  # flows a piece ends at the most: 0.2 ms or so, however many run out together


@kernel
def begin_life(row: Any, now: int) -> None:
    """Set a new row's times."""
    row["created"] = (now >> CREATED_SHIFT) & WORD
    row["seen"] = now & WORD


@kernel
def idle_time(row: Any, now: int) -> int:
    """Return how many milliseconds the flow had no packet; 0 where its last is ahead of `now`."""
    age = (now - i64(row["seen"])) & WORD
    return age if age < HALF_RANGE else 0


@kernel
def age(row: Any, now: int) -> int:
    """Return how many milliseconds ago a flow was made, in steps of 32; 0 where ahead of `now`."""
    steps = ((now >> CREATED_SHIFT) - i64(row["created"])) & WORD
    return steps << CREATED_SHIFT if steps < HALF_RANGE else 0


@kernel
def has_expired(core: Core, row: Any, now: int) -> bool:
    """Return whether a live row's timer has run out; one in doubt has that of a closing flow."""
    state = CLOSING if i64(row["marks"]) & MARK_DOUBTED else i64(row["state"])
    timeout = core.tables.timeouts[i64(row["service"]), state]
    return bool(idle_time(row, now) >= timeout)


@rare_kernel
def watch(core: Core, number: int, now: int) -> None:
    """Tell control of a flow that nobody has answered, if that is overdue, or its time is out."""
    row = core.flows.rows[number]
    waited = age(row, now)
    if is_overdue(i64(row["state"]), waited) or has_expired(core, row, now):
        tell_unanswered(core, number, waited, now)


@kernel
def end_flow(core: Core, number: int, ending: int) -> None:
    """End a live flow, counted under `ending` (CLOSED, EXPIRED or EVICTED).

    A direct conversation is forgotten, and was never counted.
    """
    row = core.flows.rows[number]
    if i64(row["state"]) == DIRECT:
        forget_direct(core.flows, number)
        return
    if i64(row["marks"]) & MARK_UNCONFIRMED:
        leave_unconfirmed(core.flows, row)
    note_flow_ended(core, row)
    cool_down(core, row)
    account_ended(core.counters, row, i64(row["state"]))
    remove(core.flows, number, ending)


@rare_kernel
def sweep_piece(core: Core, now: int) -> int:
    """End what has run out in the table's next piece, and return how many flows that were.

    A piece is 1/1024 of the rows in use, and 16 more; it is cut short behind MOST_ENDED of them.
    """
    return sweep_rows(core, now, piece_rows(core.flows))


@kernel
def piece_rows(flows: FlowTable) -> int:
    """Return how many rows a piece of the sweep has."""
    return i64((flows.meta[FRESH] - 1) // PIECES + PIECE_EXTRA)


@rare_kernel
def sweep_rows(core: Core, now: int, count: int) -> int:
    """End what has run out among the next `count` rows, each at most once; return how many."""
    core.batch.numbers[NOW] = now
    meta = core.flows.meta
    rows_in_use = meta[FRESH] - 1
    number = meta[SWEEP]
    ended = 0
    for _ in range(min(rows_in_use, count)):
        if number < 1 or number > rows_in_use:
            number = 1
        row = core.flows.rows[number]
        if is_unanswered(i64(row["state"])):
            watch(core, number, now)
        if i64(row["state"]) >= FIRST_FOUND and has_expired(core, row, now):
            if ended == MOST_ENDED:
                break
            end_flow(core, number, EXPIRED)
            ended += 1
        number += 1
    meta[SWEEP] = number
    return ended


@rare_kernel
def sweep_all(core: Core, now: int) -> None:
    """End all that has run out, however long it takes: for the engine, not for the loop."""
    core.batch.numbers[NOW] = now
    for number in range(1, core.flows.meta[FRESH]):
        row = core.flows.rows[number]
        if is_unanswered(i64(row["state"])):
            watch(core, number, now)
        if i64(row["state"]) >= FIRST_FOUND and has_expired(core, row, now):
            end_flow(core, number, EXPIRED)
