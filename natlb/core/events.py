"""What a worker tells control of openings that go wrong: a ring of records, and nobody waits.

One producer (the worker) and one reader (control) share a ring of EVENT records and two counts,
`written` and `read`. The writer overwrites what is oldest, whether it was read or not: a reader
that was lapped sees by `written` how much it lost, and `NOTE` counts failures for each backend,
where nothing is lost.

Order of stores: `sequence` is taken away first and written last, then `written` counts it. So a
record that is being written, or was by a worker that was killed over it, is known for one, and
whoever takes over writes it anew. `read` is control's: the next control goes on there.

Told are openings alone, each flow once (MARK_TOLD), an ICMP error about one each time that it
comes. Packets of established flows never get here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from natlb.core.layout import (
    MARK_TOLD,
    MOST_EVENTS,
    OPENING,
    UNANSWERED,
    UNREACHABLE,
    UNREPLIED,
    UNREPLIED_LONG,
)
from natlb.jit import i64, kernel, rare_kernel, release_fence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from natlb.core.state import Core

WRITTEN = 0
READ = 1

# Without an answer for so long, an opening is told. RFC 6298 repeats a SYN after a second; a flow
# is as old as it is but for 32 ms. UDP has no such law: who asks a resolver waits longer.
SYN_WAIT_MS = 900
DATAGRAM_WAIT_MS = 2000


class Events(NamedTuple):
    """The ring; the worker alone writes it and `counts[WRITTEN]`, control `counts[READ]`."""

    ring: NDArray[np.void]  # EVENT[MOST_EVENTS]
    counts: NDArray[np.int64]


@rare_kernel
def tell(core: Core, number: int, kind: int, value: int, now: int) -> None:
    """Write an event about a row, over the oldest one where the ring is full."""
    counts, row = core.events.counts, core.flows.rows[number]
    at = counts[WRITTEN]
    record = core.events.ring[at % MOST_EVENTS]
    backend = i64(row["backend"])
    record["sequence"] = 0
    release_fence()
    record["time_ms"] = now
    record["value"] = value
    record["kind"] = kind
    record["service"] = row["service"]
    record["backend"] = backend
    record["identity"] = core.tables.backends[backend]["identity"]
    record["row"] = number
    record["generation"] = row["generation"]
    _copy_key(record["original"], row["original"])
    _copy_key(record["reply"], row["reply"])
    release_fence()
    record["sequence"] = at + 1
    release_fence()
    counts[WRITTEN] = at + 1
    if kind != UNREACHABLE:
        core.counters.notes[backend]["failed"] += 1


@kernel
def _copy_key(target: Any, half: Any) -> None:
    """Write the key of a row's half into an event, which has the key alone.

    Not `copy_key()`: compiled for both, it would be a kernel of two records of which the one is
    taken for the other's beginning.
    """
    target["source0"] = half["source0"]
    target["source1"] = half["source1"]
    target["source2"] = half["source2"]
    target["source3"] = half["source3"]
    target["destination0"] = half["destination0"]
    target["destination1"] = half["destination1"]
    target["destination2"] = half["destination2"]
    target["destination3"] = half["destination3"]
    target["source_port"] = half["source_port"]
    target["destination_port"] = half["destination_port"]


@kernel
def is_unanswered(state: int) -> bool:
    """Return whether a flow's backend has said nothing of it yet."""
    return state == OPENING or state == UNREPLIED


@kernel
def is_overdue(state: int, waited: int) -> bool:
    """Return whether an answer should have come in so many milliseconds, to a flow like this."""
    return waited >= (SYN_WAIT_MS if state == OPENING else DATAGRAM_WAIT_MS)


@rare_kernel
def tell_unanswered(core: Core, number: int, waited: int, now: int) -> None:
    """Tell that a flow's backend has said nothing for so long, unless it was told before."""
    row = core.flows.rows[number]
    marks = i64(row["marks"])
    if marks & MARK_TOLD:
        return
    row["marks"] = marks | MARK_TOLD
    kind = UNANSWERED if i64(row["state"]) == OPENING else UNREPLIED_LONG
    tell(core, number, kind, waited, now)
