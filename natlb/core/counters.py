"""What a worker counts: packets by verdict and reason, flows and traffic by backend and service.

One writer each, so plain stores; readers see 64-bit values whole. `received` is the sum of
forwarded, passed, replied, dropped and held at a quiet moment. `held` is a gauge: a packet that is
let go moves to the column that it would have been counted in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from natlb.core.layout import (
    ANSWERED,
    BYTES_FORWARDED,
    BYTES_RECEIVED,
    CLOSING,
    DROPPED,
    FORWARDED,
    HELD,
    OPENING,
    PASSED,
    RECEIVED,
    REPLIED_TOTAL,
    SENT,
)
from natlb.core.verdict import DROP, FORWARD, HOLD, PASS
from natlb.jit import i64, kernel
from natlb.wire.reasons import INTERNAL, QUEUE_FULL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from natlb.wire.parsed import Parsed


class Counters(NamedTuple):
    """A worker's counters: TOTALS, by reason, by backend and by service; what choices go by."""

    totals: NDArray[np.int64]
    drops: NDArray[np.int64]
    replies: NDArray[np.int64]
    backends: NDArray[np.void]
    services: NDArray[np.void]
    notes: NDArray[np.void]  # NOTE, by backend
    policy: NDArray[np.int64]  # POLICY_WORDS for each choice
    programs: NDArray[np.float64]  # [program, word]: of the user's own policies
    affinities: NDArray[np.void]  # AFFINITY
    handshakes: NDArray[np.int64]  # [backend, bucket]: how many answers took so long
    loads: NDArray[np.int64]  # of each backend: `current` less `closing`, side by side for scans


@kernel
def account_verdict(counters: Counters, parsed: Parsed, outcome: int, put_out: int) -> None:
    """Count a packet (a super-packet as its segments) by its outcome.

    `put_out` frames left for it: it or its pieces, fragments that it let go, an answer.
    """
    totals = counters.totals
    segments = parsed["segments"]
    verdict = outcome & 0xFF
    totals[RECEIVED] += segments
    totals[BYTES_RECEIVED] += parsed["wire_bytes"]
    if verdict == HOLD:
        totals[HELD] += segments
        return
    _account_fate(counters, parsed, outcome)
    if verdict == FORWARD or verdict == PASS:
        totals[SENT] += segments + put_out - 1
    elif verdict != DROP:
        totals[SENT] += put_out


@kernel
def account_released(counters: Counters, parsed: Parsed, outcome: int) -> None:
    """Count a packet that was held by its outcome; what it put out counts for who released it."""
    _account_fate(counters, parsed, outcome)
    counters.totals[HELD] -= parsed["segments"]


@kernel
def account_held_dropped(counters: Counters, reason: int) -> None:
    """Count a packet that was held as dropped."""
    counters.totals[DROPPED] += 1
    counters.drops[reason] += 1
    counters.totals[HELD] -= 1


@kernel
def account_held_lost(counters: Counters) -> None:
    """Count what another worker held, and took with it, as dropped."""
    totals = counters.totals
    counters.drops[INTERNAL] += totals[HELD]
    totals[DROPPED] += totals[HELD]
    totals[HELD] = 0


@kernel
def _account_fate(counters: Counters, parsed: Parsed, outcome: int) -> None:
    """Count a packet in the column and under the reason of its outcome."""
    totals = counters.totals
    segments = parsed["segments"]
    verdict = outcome & 0xFF
    reason = outcome >> 8
    if verdict == FORWARD:
        totals[FORWARDED] += segments
        totals[BYTES_FORWARDED] += parsed["wire_bytes"]
    elif verdict == PASS:
        totals[PASSED] += segments
    elif verdict == DROP:
        totals[DROPPED] += segments
        counters.drops[reason] += segments
    else:
        totals[REPLIED_TOTAL] += segments
        counters.replies[reason] += segments


@kernel
def account_opened(counters: Counters, row: Any) -> None:
    """Count a flow that was made."""
    opening = 1 if OPENING <= i64(row["state"]) <= ANSWERED else 0
    for count in _counts_of(counters, row):
        count["current"] += 1
        count["total"] += 1
        count["opening"] += opening
    counters.loads[i64(row["backend"])] += 1


@kernel
def account_ended(counters: Counters, row: Any, state: int) -> None:
    """Count a flow that was in `state` and is no more."""
    opening = 1 if OPENING <= state <= ANSWERED else 0
    closing = 1 if state == CLOSING else 0
    for count in _counts_of(counters, row):
        count["current"] -= 1
        count["opening"] -= opening
        count["closing"] -= closing
    counters.loads[i64(row["backend"])] -= 1 - closing


@kernel
def account_no_longer_opening(counters: Counters, row: Any) -> None:
    """Count a flow that left state OPENING and lives on."""
    for count in _counts_of(counters, row):
        count["opening"] -= 1


@kernel
def account_closing(counters: Counters, row: Any) -> None:
    """Count a flow that both ends have closed: it is no load any more."""
    for count in _counts_of(counters, row):
        count["closing"] += 1
    counters.loads[i64(row["backend"])] -= 1


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
def account_unsent(counters: Counters, segments: int, octets: int, outcome: int) -> None:
    """Count as dropped, `queue-full`, a packet that was put out and then could not be written.

    `octets` is what was counted for it. A packet that was cut is lost with its first lost piece;
    for those behind it there is `account_piece_unsent()`.
    """
    totals = counters.totals
    verdict = outcome & 0xFF
    if verdict == FORWARD:
        totals[FORWARDED] -= segments
        totals[BYTES_FORWARDED] -= octets
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


@kernel
def account_piece_unsent(counters: Counters) -> None:
    """Take back that a further piece of a lost packet was sent."""
    counters.totals[SENT] -= 1
