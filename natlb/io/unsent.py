"""Output frames that nobody took: counted once for each packet, however many pieces it left in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import OF_NO_PACKET
from natlb.core.counters import account_piece_unsent, account_unsent
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.frame import GSO_NONE

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.counters import Counters

NONE_LOST = -1


@kernel
def headers_of(batch: Batch, at: int) -> int:
    """Return how many octets each segment of an output frame repeats; 0 of a single packet."""
    if batch.output[at]["gso_type"] == GSO_NONE:
        return 0
    return i64(batch.parsed[batch.origins[at]]["payload"])  # only input packets are super-packets


@rare_kernel
def account_lost(batch: Batch, counters: Counters, at: int, last: int) -> int:
    """Count as dropped the packet of an output frame that was not sent; return `at`.

    `last` is the frame that was lost before it on this side, or NONE_LOST: further pieces of a
    packet that has lost one are its own no more. What natlb sends of its own accord was no packet
    of anybody's, and is counted by none.
    """
    origin = i64(batch.origins[at])
    if origin == OF_NO_PACKET:
        return last
    first = at
    while first > 0 and batch.octets[first] == 0:
        first -= 1
    if last >= first:
        account_piece_unsent(counters)
        return at
    segments = i64(batch.parsed[origin]["segments"])
    account_unsent(counters, segments, i64(batch.octets[at]), i64(batch.outcomes[origin]))
    return at
