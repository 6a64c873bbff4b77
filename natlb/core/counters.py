"""What a worker counts: packets by verdict and reason, flows and traffic by backend and service.

One writer each, so plain stores; readers see 64-bit values whole. `received` is the sum of
forwarded, passed, replied, dropped and held at a quiet moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from natlb.core.layout import (
    ANSWERED,
    BYTES_FORWARDED,
    BYTES_RECEIVED,
    DROPPED,
    FORWARDED,
    OPENING,
    PASSED,
    RECEIVED,
    REPLIED_TOTAL,
    SENT,
)
from natlb.core.verdict import DROP, FORWARD, PASS
from natlb.jit import i64, kernel
from natlb.wire.reasons import QUEUE_FULL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from natlb.wire.parsed import Parsed


class Counters(NamedTuple):
    """A worker's counters: TOTALS, by reason, by backend and by service; policies' own words."""

    totals: NDArray[np.int64]
    drops: NDArray[np.int64]
    replies: NDArray[np.int64]
    backends: NDArray[np.void]
    services: NDArray[np.void]
    policy: NDArray[np.int64]  # POLICY_WORDS for each service


@kernel
def account_verdict(counters: Counters, parsed: Parsed, outcome: int, put_out: int) -> None:
    """Count a packet (a super-packet as its segments) by its outcome; `put_out` are its answers."""
    totals = counters.totals
    segments = parsed["segments"]
    verdict = outcome & 0xFF
    reason = outcome >> 8
    totals[RECEIVED] += segments
    totals[BYTES_RECEIVED] += parsed["wire_bytes"]
    if verdict == FORWARD:
        totals[FORWARDED] += segments
        totals[BYTES_FORWARDED] += parsed["wire_bytes"]
        totals[SENT] += segments
    elif verdict == PASS:
        totals[PASSED] += segments
        totals[SENT] += segments
    elif verdict == DROP:
        totals[DROPPED] += segments
        counters.drops[reason] += segments
    else:
        totals[REPLIED_TOTAL] += segments
        counters.replies[reason] += segments
        totals[SENT] += put_out


@kernel
def account_opened(counters: Counters, row: Any) -> None:
    """Count a flow that was made."""
    opening = 1 if OPENING <= i64(row["state"]) <= ANSWERED else 0
    for count in _counts_of(counters, row):
        count["current"] += 1
        count["total"] += 1
        count["opening"] += opening


@kernel
def account_ended(counters: Counters, row: Any, state: int) -> None:
    """Count a flow that was in `state` and is no more."""
    opening = 1 if OPENING <= state <= ANSWERED else 0
    for count in _counts_of(counters, row):
        count["current"] -= 1
        count["opening"] -= opening


@kernel
def account_no_longer_opening(counters: Counters, row: Any) -> None:
    """Count a flow that left state OPENING and lives on."""
    for count in _counts_of(counters, row):
        count["opening"] -= 1


@kernel
def account_original(counters: Counters, row: Any, segments: int, wire_bytes: int) -> None:
    """Count traffic from the client, for the backend and the service."""
    for count in _counts_of(counters, row):
        count["packets_original"] += segments
        count["bytes_original"] += wire_bytes


@kernel
def account_reply(counters: Counters, row: Any, segments: int, wire_bytes: int) -> None:
    """Count traffic to the client, for the backend and the service."""
    for count in _counts_of(counters, row):
        count["packets_reply"] += segments
        count["bytes_reply"] += wire_bytes


@kernel
def _counts_of(counters: Counters, row: Any) -> tuple[Any, Any]:
    """Return the counts of a flow's backend and service."""
    return counters.backends[i64(row["backend"])], counters.services[i64(row["service"])]


@kernel
def account_unsent(counters: Counters, parsed: Parsed, outcome: int) -> None:
    """Count as dropped, `queue-full`, what was put out and then could not be written."""
    totals = counters.totals
    segments = parsed["segments"]
    verdict = outcome & 0xFF
    if verdict == FORWARD:
        totals[FORWARDED] -= segments
        totals[BYTES_FORWARDED] -= parsed["wire_bytes"]
        totals[SENT] -= segments
    elif verdict == PASS:
        totals[PASSED] -= segments
        totals[SENT] -= segments
    else:
        totals[REPLIED_TOTAL] -= segments
        counters.replies[outcome >> 8] -= segments
        totals[SENT] -= 1
    totals[DROPPED] += segments
    counters.drops[QUEUE_FULL] += segments
