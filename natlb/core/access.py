"""Access lists: whether a client may open a flow, found among sorted steps by halving.

A service's steps begin with the lowest address there is, so every client stands behind one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.reasons import ACCEPTED, DropReason
from natlb.wire.rewrite import Lanes, source_lanes

if TYPE_CHECKING:
    from natlb.core.flow_table import Key
    from natlb.core.tables import Tables

# Verdicts of steps
ALLOWED = ACCEPTED
DENIED = int(DropReason.ACCESS)


@rare_kernel
def judge_access(tables: Tables, service: int, key: Key) -> int:
    """Return ALLOWED, or the reason why a packet's sender may open no flow of this service."""
    record = tables.services[service]
    client = source_lanes(key)
    low = i64(record["access_start"])
    high = low + i64(record["access_size"])
    while high - low > 1:
        middle = (low + high) // 2
        if _is_behind(tables.access[middle], client):
            high = middle
        else:
            low = middle
    return i64(tables.access[low]["verdict"])


@kernel
def _is_behind(step: Any, client: Lanes) -> bool:
    """Return whether a step begins behind an address."""
    if i64(step["address0"]) != client[0]:
        return i64(step["address0"]) > client[0]
    if i64(step["address1"]) != client[1]:
        return i64(step["address1"]) > client[1]
    if i64(step["address2"]) != client[2]:
        return i64(step["address2"]) > client[2]
    return i64(step["address3"]) > client[3]
