"""Ports of full NAT that were in use a moment ago (RFC 6888 REQ-8): not given again for a while.

What a flow leaves behind is late packets: answers of a backend that reach whoever has its port
next. So address and port are not bound to the same backend again for two minutes. A connection
that closed both ways needs no such pause, nor a datagram flow whose every question was answered.

A place in the table holds a tag of 16 bits and the time in seconds, also of 16 bits. Each key has
two places. What is noted over another's entry makes it forgotten, never the other way round: a
full table of entries refuses nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from natlb.core.batch import NOW
from natlb.core.flow_table import hash_key
from natlb.core.layout import CLOSING, MARK_DATAGRAMS
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.rewrite import destination_lanes, source_lanes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.state import Core

COOL_SECONDS = 120
LEAST_PLACES = 1 << 16
CLOCK = 0xFFFF  # seconds are kept modulo this and one
LONG_AGO = CLOCK + 1


class Cooling(NamedTuple):
    """When each of (address, port, backend) was given back: tag << 16 | seconds; 0: nothing."""

    ended: NDArray[np.uint32]


def make_cooling(flows: int) -> Cooling:
    """Return the memory for a table of so many flows; for none where there is no full NAT."""
    return Cooling(np.zeros(max(LEAST_PLACES, 1 << flows.bit_length()) if flows else 1, np.uint32))


@rare_kernel
def cool_down(core: Core, row: Any) -> None:
    """Note when the source of a full-NAT flow that ends now may be used again."""
    if core.cooling.ended.size == 1 or not has_source(row) or _is_done_with(row):
        return
    hashed = hash_key(core.flows, row["reply"], i64(row["protocol"]))
    seconds = core.batch.numbers[NOW] // 1000
    at = _place_for(core.cooling, hashed, seconds)
    core.cooling.ended[at] = _tag(hashed) << 16 | seconds & CLOCK


@kernel
def is_cooling(core: Core, row: Any, now: int) -> bool:
    """Return whether what a row's reply key names was given back a moment ago."""
    hashed = hash_key(core.flows, row["reply"], i64(row["protocol"]))
    first = hashed & core.cooling.ended.size - 1
    for at in (first, first ^ 1):
        entry = i64(core.cooling.ended[at])
        if entry >> 16 == _tag(hashed) and _age(entry, now // 1000) <= COOL_SECONDS:
            return True
    return False


@kernel
def has_source(row: Any) -> bool:
    """Return whether a flow's backend sees a source of natlb's own."""
    original, reply = row["original"], row["reply"]
    return i64(original["source_port"]) != i64(reply["destination_port"]) or source_lanes(
        original
    ) != destination_lanes(reply)


@kernel
def _is_done_with(row: Any) -> bool:
    """Return whether nothing late is to be expected of a flow."""
    if i64(row["state"]) == CLOSING:
        return True
    is_answered = i64(row["reply"]["packets"]) >= i64(row["original"]["packets"])
    return bool(i64(row["marks"]) & MARK_DATAGRAMS) and is_answered


@kernel
def _tag(hashed: int) -> int:
    """Return what tells keys of one place apart; never 0."""
    return hashed >> 16 | 1


@kernel
def _age(entry: int, seconds: int) -> int:
    """Return how many seconds ago an entry was noted."""
    return LONG_AGO if entry == 0 else (seconds - entry) & CLOCK


@kernel
def _place_for(cooling: Cooling, hashed: int, seconds: int) -> int:
    """Return where to note a key: where it is noted, else the older of its two places."""
    first = hashed & cooling.ended.size - 1
    second = first ^ 1
    one, other = i64(cooling.ended[first]), i64(cooling.ended[second])
    if other >> 16 == _tag(hashed):
        return second
    if one >> 16 != _tag(hashed) and _age(other, seconds) > _age(one, seconds):
        return second
    return first
