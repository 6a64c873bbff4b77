"""Rows that one key alone leads to: direct conversations, and flows left to their late answers.

DIRECT is no flow: a conversation of a backend with a client that natlb does not translate. It is
kept so that no flow is bound to the same reply key, which would mix two streams. What the backend
sends is its original direction; the other never comes by natlb. Nothing is counted of it.

DETACHED is a UDP flow whose client was given another backend while answers were under way: its
reply key still leads to it, and its original key leads to the new flow.

Order of stores, beside flow_table.py's
    DIRECT    original key in the index.   MAKING becomes DIRECT; forget_direct(): as remove()
    DETACHED  reply key in the index.      detach(): the state, then out of the index;
                                           attach(): the index, then the state
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.flow_table import (
    NOTHING,
    ORIGINAL,
    erase_entry,
    finish_removal,
    free_position,
    hash_key,
    make_entry,
)
from natlb.core.layout import DETACHED, DIRECT, DIRECT_ROWS, ENDING
from natlb.jit import i64, kernel, release_fence

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable


@kernel
def keep_direct(flows: FlowTable, number: int) -> None:
    """Keep a row that was inserted as a direct conversation's."""
    flows.rows[number]["state"] = DIRECT
    flows.meta[DIRECT_ROWS] += 1


@kernel
def forget_direct(flows: FlowTable, number: int) -> None:
    """Give a direct conversation's row back."""
    flows.rows[number]["state"] = ENDING
    release_fence()
    finish_removal(flows, number)
    flows.meta[DIRECT_ROWS] -= 1


@kernel
def detach(flows: FlowTable, number: int) -> None:
    """Leave a live row to its late answers: its original key is free for another row."""
    row = flows.rows[number]
    row["state"] = DETACHED
    release_fence()
    erase_original(flows, number)


@kernel
def attach(flows: FlowTable, number: int, state: int) -> int:
    """Make a detached row live by both keys again, and return it; NOTHING where there is no room.

    The caller has made sure that nothing else has its original key.
    """
    row = flows.rows[number]
    hashed = hash_key(flows, row["original"], i64(row["protocol"]))
    at = free_position(flows, hashed)
    if at < 0:
        return NOTHING
    flows.buckets[at] = make_entry(hashed, ORIGINAL, number)
    release_fence()
    row["state"] = state
    return number


@kernel
def erase_original(flows: FlowTable, number: int) -> None:
    """Take a row's original key out of the index, if it is in there."""
    row = flows.rows[number]
    erase_entry(flows, row["original"], i64(row["protocol"]), ORIGINAL, number)
