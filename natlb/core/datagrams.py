"""UDP services that choose a backend anew after some answers (`datagrams` of a service).

Answers are counted by what a row counts anyway, the packets of each direction. Once enough came
back since the choice was made, the client's next datagram is given a new one. If every datagram
was answered, the flow has nothing to wait for and ends. If not, it is detached: its late answers
still pass for a few seconds, while a row of its own leads the client to the new backend. If the
new choice is a backend that such a row still waits for, that row is taken back: one client and one
backend's port can be one flow only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.flow_table import (
    CONFLICT,
    FlowTable,
    hash_key,
    is_key,
    lookup,
    row_of,
)
from natlb.core.layout import CLOSED, DETACHED, REPLIED
from natlb.core.lifetime import end_flow
from natlb.core.one_key import attach, detach
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core

WORD = 0xFFFFFFFF


@rare_kernel
def let_go(core: Core, number: int) -> bool:
    """Part a client from its backend if that has answered enough; return whether it was so."""
    row = core.flows.rows[number]
    if not _is_answered_enough(core, row):
        return False
    if i64(row["reply"]["packets"]) >= i64(row["original"]["packets"]):
        end_flow(core, number, CLOSED)
    else:
        detach(core.flows, number)
    return True


@kernel
def _is_answered_enough(core: Core, row: Any) -> bool:
    """Return whether as many answers came since the choice as the service asks for."""
    wanted = i64(core.tables.services[i64(row["service"])]["datagrams"])
    reply = row["reply"]
    answers = (i64(reply["packets"]) - i64(reply["sequence_end"])) & WORD
    return 0 < wanted <= answers


@rare_kernel
def find_waiting(flows: FlowTable, number: int) -> int:
    """Return the detached row of the same client and VIP that has this row's reply key.

    CONFLICT where another flow has that key.
    """
    row = flows.rows[number]
    protocol = i64(row["protocol"])
    holder = row_of(lookup(flows, row["reply"], protocol, hash_key(flows, row["reply"], protocol)))
    other = flows.rows[holder]
    if i64(other["state"]) == DETACHED and is_key(other["original"], row["original"]):
        return holder
    return CONFLICT


@rare_kernel
def take_back(core: Core, number: int) -> int:
    """Make a detached row its client's again, and return it.

    The row that was made instead has been given back, and with it a place for this very key.
    """
    reply = core.flows.rows[number]["reply"]
    reply["sequence_end"] = i64(reply["packets"]) & WORD
    return attach(core.flows, number, REPLIED)
