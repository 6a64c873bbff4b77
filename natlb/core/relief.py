"""Room for new flows in a table under pressure: unconfirmed flows go first, and no others.

Two measures, both paid for by flows that nobody has confirmed (`pressure.py`):

- From three quarters full on, the time that a flow has to be confirmed shrinks with the free
  rows, linearly from four minutes to three seconds: `relieve()` ends those that exceed it.
- In a full table a new flow takes the place of an unconfirmed one: `make_room()` gives up one
  that has run out, or the oldest there is.

An established or replied flow is never given up. So a flood of forged SYNs pushes out only its
own: an honest client's flow stands in the list for one round trip, and is safe as long as the
flood does not fill the whole list in that time. Three seconds is the floor since RFC 6298 repeats
a lost SYN or SYN-ACK after one: a timer alone never ends a handshake that lost a segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.flow_table import NOTHING, FlowTable
from natlb.core.layout import (
    CURRENT,
    DIRECT_ROWS,
    EVICTED,
    EXPIRED,
    FREE_HEAD,
    FRESH,
    OLDEST,
    ROWS,
)
from natlb.core.lifetime import PIECE_EXTRA, age, end_flow, has_expired, idle_time, sweep_rows
from natlb.core.pressure import join_unconfirmed, leave_unconfirmed
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core

SHARE = 4  # a quarter of the rows free or less is pressure
MOST_MS = 240_000  # to be confirmed in, where the pressure begins: `tcp_opening` unless configured
LEAST_MS = 3_000  # and where no row is free
MOST_RELIEVED = 256  # flows looked at in one call: 0.2 ms or so, as for a piece of the sweep
LOOKED_AT = 4  # of the oldest, for one that has run out


@kernel
def has_free_row(flows: FlowTable) -> bool:
    """Return whether a row can be had without giving one up."""
    return bool(flows.meta[FREE_HEAD] != NOTHING or flows.meta[FRESH] <= flows.meta[ROWS])


@rare_kernel
def make_room(core: Core, now: int) -> bool:
    """Give a row back, and return whether a new flow may try again.

    Where there are free rows already, it is the index that has no room for the key: whichever row
    were given up, that would not help. Where there is no unconfirmed flow, sixteen rows are swept,
    so that established flows that have run out keep nobody out until the sweep comes by; more
    would let each packet of a flood cost as much as many.
    """
    flows = core.flows
    if has_free_row(flows):
        return False
    number = _find_expired(core, now)
    if number != NOTHING:
        end_flow(core, number, EXPIRED)
        return True
    number = flows.meta[OLDEST]
    if number != NOTHING:
        end_flow(core, number, EVICTED)
        return True
    sweep_rows(core, now, PIECE_EXTRA)
    return has_free_row(flows)


@kernel
def _find_expired(core: Core, now: int) -> int:
    """Return which of the oldest unconfirmed flows has run out, or NOTHING."""
    number = i64(core.flows.meta[OLDEST])
    for _ in range(LOOKED_AT):
        if number == NOTHING or has_expired(core, core.flows.rows[number], now):
            return number
        number = i64(core.flows.rows[number]["link"])
    return NOTHING


@kernel
def time_to_confirm(flows: FlowTable) -> int:
    """Return within how many milliseconds a flow has to be confirmed; -1: no matter how long."""
    rows = flows.meta[ROWS]
    free = rows - flows.meta[CURRENT] - flows.meta[DIRECT_ROWS]
    if free * SHARE > rows:
        return -1
    return i64(LEAST_MS + (MOST_MS - LEAST_MS) * SHARE * free // rows)


@rare_kernel
def relieve(core: Core, now: int) -> int:
    """End the oldest unconfirmed flows that took longer than the pressure allows; return how many.

    One that still has packets, as a one-way stream of UDP, goes to the young end instead.
    """
    flows = core.flows
    ended = 0
    for _ in range(MOST_RELIEVED):
        number = flows.meta[OLDEST]
        allowed = time_to_confirm(flows)
        if number == NOTHING or allowed < 0:
            break
        row = flows.rows[number]
        if age(row, now) < allowed:
            break
        if idle_time(row, now) < allowed:
            leave_unconfirmed(flows, row)
            join_unconfirmed(flows, number)
        else:
            end_flow(core, number, EXPIRED)
            ended += 1
    return ended
