"""How long a backend takes to answer, as the wire shows it: a peak EWMA for each, in integers.

A sample is the time from a flow's first packet to the first answer of its backend: SYN to SYN-ACK,
or datagram to datagram. A SYN that was repeated counts from the first, since a lost one is what the
client waited for too. A reset is no sample: who refuses at once is not quick.

The average is Finagle's PeakEwma (Twitter, 2012): a sample above it takes its place at once, one
below is averaged in by the time since the last. Where no sample comes it is halved every 8 seconds,
so that one that was slow is tried again, until nothing is left: then it is as if none was seen.

What a backend's answers took is counted too, for whoever watches it: 24 buckets, whose upper bounds
are 64 microseconds and the double of each before (64 us, 128 us, ... 268 s), the last without any.
A sample belongs to the first whose bound it does not exceed. Twice is near enough to see a backend
that slows down, and from a switch's delay to a client's patience no bucket is missing.

Averaging goes straight between the halvings, which is 6 % above 2^-x at most, and costs two shifts
and a product. Reading, which each pick does for each backend, halves whole and costs one shift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.hashing import WORD
from natlb.core.layout import HANDSHAKE_BUCKETS
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import TCP

if TYPE_CHECKING:
    from natlb.core.counters import Counters

HALF_LIFE_BITS = 13  # about 8 seconds
HALF_LIFE_MS = 1 << HALF_LIFE_BITS
MOST_US = (1 << 26) - 1  # 67 seconds, and what an average may be
MOST_HALVINGS = 26  # nothing is left of it then
FIRST_BOUND_US = 64
BOUNDS_US = tuple(FIRST_BOUND_US << bucket for bucket in range(HANDSHAKE_BUCKETS - 1))


@rare_kernel
def note_handshake(counters: Counters, row: Any, micros: int, now_ms: int) -> None:
    """Take a flow's first answer into its backend's average, and count it: the backend lives.

    The field that held when the flow was opened is given back: from here on it is the flow's own.
    """
    reply = row["reply"]
    micros_taken = (micros - i64(reply["timestamp_delta"])) & WORD
    reply["timestamp_delta"] = 0
    backend = i64(row["backend"])
    note = counters.notes[backend]
    counters.handshakes[backend, bucket_of(micros_taken)] += 1
    note["handshake_sum_us"] += micros_taken
    if i64(row["protocol"]) == TCP:
        note["answered_ms"] = max(1, now_ms)
    else:
        note["replied_ms"] = max(1, now_ms)
    sample = min(max(1, micros_taken), MOST_US)
    if sample < handshake_now(note, now_ms):
        over = i64(note["handshake_us"]) - sample
        sample += _decayed(over, now_ms - i64(note["handshake_ms"]))
    note["handshake_us"] = sample
    note["handshake_ms"] = now_ms


@kernel
def bucket_of(micros: int) -> int:
    """Return which bucket a time belongs to."""
    bucket, bound = 0, FIRST_BOUND_US
    while bucket < HANDSHAKE_BUCKETS - 1 and micros > bound:
        bucket += 1
        bound *= 2
    return bucket


@kernel
def handshake_now(note: Any, now_ms: int) -> int:
    """Return what a backend's answers take, in microseconds; 0 where none was seen of late."""
    return i64(note["handshake_us"]) >> _halvings(now_ms - i64(note["handshake_ms"]))


@kernel
def _decayed(value: int, passed_ms: int) -> int:
    """Return what is left of a value after some time; all of it before no time."""
    left = value >> _halvings(passed_ms)
    return left - (left * (max(0, passed_ms) & (HALF_LIFE_MS - 1)) >> HALF_LIFE_BITS + 1)


@kernel
def _halvings(passed_ms: int) -> int:
    """Return how often an average was halved since its last sample."""
    return min(max(0, passed_ms) >> HALF_LIFE_BITS, MOST_HALVINGS)
