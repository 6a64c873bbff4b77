"""The compiled loops around the core: they put packets into slots as a driver would, and time none.

A stage goes as far as its name says with each batch, so that one stage's cost is the difference to
the one before. `COPIED` is the cost of the load itself, and is taken from all figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from natlb.core.batch import start_batch
from natlb.core.choice import pool_of
from natlb.core.flow_table import (
    NOTHING,
    direction_of,
    first_bucket,
    half,
    hash_key,
    lookup,
    row_of,
)
from natlb.core.housekeeping import keep_pace
from natlb.core.layout import CHOICES, HEADROOM
from natlb.core.pipeline import process_batch
from natlb.core.policy import NewFlow
from natlb.core.state import TTL_ROUTE, Core
from natlb.io.loop import MOST_PIECES
from natlb.jit import entry, i64, kernel
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.frame import set_plain
from natlb.wire.parse import parse
from natlb.wire.reasons import ACCEPTED
from natlb.wire.rewrite import rewrite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from natlb.core.choice import Pick

BATCH = 64
FIRST_WORD = HEADROOM // 8

COPIED, PARSED, FOUND, REWRITTEN, WHOLE = range(5)


class Load(NamedTuple):
    """Packets in the order they come: headers as 64-bit words, the side each comes in by."""

    slots: NDArray[np.uint64]  # the batch's slots, in words
    headers: NDArray[np.uint64]  # [packet, word]; a multiple of BATCH
    ways: NDArray[np.int64]
    lengths: NDArray[np.int64]


@entry
def drive(core: Core, load: Load, now: int, rounds: int, stage: int, pick: Pick) -> int:
    """Take the whole load so often as far as `stage`; return how many frames came out."""
    total = 0
    for _ in range(rounds):
        for at in range(0, load.ways.size, BATCH):
            _fill(core, load, at)
            if stage == WHOLE:
                total += process_batch(core, now, TTL_ROUTE, pick)
            elif stage >= PARSED:
                total += _go_part_of_the_way(core, stage)
    return total


@kernel
def _fill(core: Core, load: Load, at: int) -> None:
    """Put the next batch of packets into the slots."""
    batch = core.batch
    words = load.headers.shape[1]
    for i in range(BATCH):
        for word in range(words):
            load.slots[i, FIRST_WORD + word] = load.headers[at + i, word]
        frame = batch.frames[i]
        frame["slot"] = i
        frame["start"] = HEADROOM
        frame["length"] = load.lengths[at + i]
        frame["way"] = load.ways[at + i]
        set_plain(frame)
    start_batch(batch, BATCH)


@kernel
def _go_part_of_the_way(core: Core, stage: int) -> int:
    """Do with a batch what the pipeline does, as far as `stage`, and nothing besides."""
    found = _parse(core)
    if stage >= FOUND:
        found = _find(core)
    if stage >= REWRITTEN:
        _rewrite(core)
    return found


@kernel
def _parse(core: Core) -> int:
    """Parse a batch; return how many packets stand."""
    batch = core.batch
    accepted = 0
    for i in range(BATCH):
        frame = batch.frames[i]
        packet = batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
        parse(packet, frame, batch.parsed[i])
        if batch.parsed[i]["refusal"] == ACCEPTED:
            accepted += 1
    return accepted


@kernel
def _find(core: Core) -> int:
    """Hash all, touch all index buckets, then look all up; return how many were found."""
    batch, flows = core.batch, core.flows
    touched = 0
    for i in range(BATCH):
        parsed = batch.parsed[i]
        hashed = hash_key(flows, parsed, i64(parsed["protocol"]))
        parsed["hash"] = hashed
        touched += i64(flows.buckets[first_bucket(flows, hashed)])
    found = 0
    for i in range(BATCH):
        parsed = batch.parsed[i]
        parsed["found"] = lookup(flows, parsed, i64(parsed["protocol"]), parsed["hash"])
        if parsed["found"] != NOTHING:
            found += 1
    return found if touched != 0 else 0


@kernel
def _rewrite(core: Core) -> None:
    """Rewrite every packet of a batch from its flow's other key; all were found."""
    batch, flows = core.batch, core.flows
    for i in range(BATCH):
        frame, parsed = batch.frames[i], batch.parsed[i]
        packet = batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
        row = flows.rows[row_of(parsed["found"])]
        direction = direction_of(parsed["found"])
        this, other = half(row, direction), half(row, 1 - direction)
        deltas = i64(this["address_delta"]), i64(this["transport_delta"])
        rewrite(packet, frame, parsed, other, deltas[0], deltas[1])


@entry
def sweep(core: Core, now: int) -> None:
    """Do what packets wait for at the most while the clock is looked after: see `io/loop.py`."""
    keep_pace(core, now, MOST_PIECES)


@entry
def pick_often(core: Core, service: int, count: int, pick: Pick) -> int:
    """Pick a backend so often, as the pipeline calls a policy; return a sum of all picked."""
    pool = pool_of(core)
    total = 0
    draw = 1
    for _ in range(count):
        draw = (draw * 48271) % 0x7FFFFFFF  # Park and Miller's generator, 1988
        flow = NewFlow(draw, draw >> 1, 0, 0, 0, MAPPED_LANE, draw, draw & 0xFFFF)
        total += pick(pool, CHOICES * service, flow)
    return total
