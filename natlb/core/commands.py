"""Commands that control gives a worker, done in bounded steps between two batches.

One producer (control) and one consumer (the worker) share a ring of COMMAND records and two
counts, `given` and `taken`. A command that is under way keeps its place in its own record, so a
worker that takes over after a crash goes on with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from natlb.core.batch import emit_spare, spare_slots_left, take_spare_slot
from natlb.core.flow_table import ORIGINAL, half
from natlb.core.layout import (
    ANSWERED,
    ANY,
    CLOSED,
    COMMANDS_DONE,
    FIRST_LIVE,
    FRESH,
    HEADROOM,
    RING,
    SENT,
)
from natlb.core.lifetime import end_flow
from natlb.jit import acquire_fence, entry, i64, kernel, rare_kernel, release_fence
from natlb.wire.answers import write_tcp
from natlb.wire.fields import ACK, MAPPED_LANE, RST, TCP
from natlb.wire.rewrite import destination_lanes, source_lanes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from natlb.core.state import Core

GIVEN = 0
TAKEN = 1
ROWS_A_STEP = 4096  # looked at between two batches: about 50 us
WORD = 0xFFFFFFFF


class Commands(NamedTuple):
    """The ring; control alone writes `counts[GIVEN]`, the worker alone `counts[TAKEN]`."""

    ring: NDArray[np.void]  # COMMAND[RING]
    counts: NDArray[np.int64]


@kernel
def is_command_waiting(commands: Commands) -> bool:
    """Return whether there is a command to do or to go on with."""
    return bool(commands.counts[TAKEN] < commands.counts[GIVEN])


@entry
def step_command(core: Core, commands: Commands) -> None:
    """Do a bounded piece of the oldest command; resets it calls for are in the batch's output."""
    advance_command(core, commands)


@rare_kernel
def advance_command(core: Core, commands: Commands) -> None:
    """Do `step_command()` as a part of a larger entry."""
    if not is_command_waiting(commands):
        return
    acquire_fence()
    command = commands.ring[commands.counts[TAKEN] % RING]
    if _flush_piece(core, command):
        command["done"] = 1
        release_fence()
        commands.counts[TAKEN] += 1
        core.counters.totals[COMMANDS_DONE] += 1


@kernel
def _flush_piece(core: Core, command: Any) -> bool:
    """End the flows a command means in the table's next piece; return whether that was the last."""
    number = max(1, i64(command["position"]))
    last = core.flows.meta[FRESH] - 1
    for _ in range(ROWS_A_STEP):
        if number > last:
            return True
        if spare_slots_left(core.batch) < 2:
            break
        row = core.flows.rows[number]
        if i64(row["state"]) >= FIRST_LIVE and _is_meant(command, row):
            if command["reset"] and i64(row["protocol"]) == TCP:
                command["resets"] += _reset_both_ends(core, row)
            end_flow(core, number, CLOSED)
            command["flushed"] += 1
        number += 1
        command["position"] = number
    return bool(number > last)


@kernel
def _is_meant(command: Any, row: Any) -> bool:
    """Return whether a command's filter names this flow."""
    return (
        (command["service"] == ANY or command["service"] == i64(row["service"]))
        and (command["backend"] == ANY or command["backend"] == i64(row["backend"]))
        and command["state"] >> i64(row["state"]) & 1
        and (command["protocol"] == ANY or command["protocol"] == i64(row["protocol"]))
        and _is_client_in(command, row["original"])
    )


@kernel
def _is_client_in(command: Any, original: Any) -> bool:
    """Return whether a flow's client lies in the command's prefix (of 128 bits; 0 is everybody)."""
    prefix = i64(command["prefix"])
    return (
        _agree(i64(command["client0"]), i64(original["source0"]), prefix)
        and _agree(i64(command["client1"]), i64(original["source1"]), prefix - 32)
        and _agree(i64(command["client2"]), i64(original["source2"]), prefix - 64)
        and _agree(i64(command["client3"]), i64(original["source3"]), prefix - 96)
    )


@kernel
def _agree(one: int, other: int, bits: int) -> bool:
    """Return whether the first `bits` of two 32-bit lanes are the same."""
    if bits <= 0:
        return True
    return (one ^ other) >> max(0, 32 - bits) == 0


@kernel
def _reset_both_ends(core: Core, row: Any) -> int:
    """Put out a reset for the backend and one for the client, and return how many that were.

    Each carries the very next sequence number of the side it pretends to be, which is the only
    one that the receiver takes at once (RFC 5961 section 3.2). An end that has not answered yet
    has no number that a reset could carry and be believed: only the client hears of it.
    """
    count = _reset_one_end(core, row, 1 - ORIGINAL)
    if i64(row["state"]) > ANSWERED or i64(row["reply"]["packets"]) > 0:
        count += _reset_one_end(core, row, ORIGINAL)
    core.counters.totals[SENT] += count
    return count


@kernel
def _reset_one_end(core: Core, row: Any, direction: int) -> int:
    """Put out a reset that travels in `direction`, as the flow's packets leave there; return 1."""
    this, other = half(row, direction), half(row, 1 - direction)
    slot = take_spare_slot(core.batch)
    version = 4 if _is_mapped(other) else 6
    length = write_tcp(
        core.batch.slots[slot, HEADROOM:],
        version,
        destination_lanes(other),
        source_lanes(other),
        i64(other["destination_port"]),
        i64(other["source_port"]),
        i64(this["sequence_end"]),
        i64(other["sequence_end"]),
        RST | ACK,
    )
    emit_spare(core.batch, slot, length, i64(this["way"]))
    return 1


@kernel
def _is_mapped(key: Any) -> bool:
    """Return whether a key is of IPv4."""
    upper = i64(key["source0"]) | i64(key["source1"])
    return upper == 0 and i64(key["source2"]) == MAPPED_LANE
