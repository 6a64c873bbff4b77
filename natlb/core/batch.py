"""A batch of packets on its way through: slots, input frames, what was parsed, output frames.

Allocated once; nothing is allocated for a packet. An output frame names the slot that its packet
lies in: usually the input's own, for packets of natlb's own a spare one. Pieces of a packet that
was cut, and fragments that were held, lie several in a spare slot, one behind another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.layout import HEADROOM, SLOT_BYTES
from natlb.core.policy.pool import make_scratch
from natlb.jit import i64, kernel
from natlb.wire.frame import FRAME, Frame
from natlb.wire.parsed import PARSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The batch's own numbers: kept in memory, so that a batch can go on behind a packet that raised
NUMBERS = (
    "count",
    "parsed",
    "found",
    "tracked",
    "output",
    "settled",
    "spare",
    "sought",
    "now",  # of the batch, in milliseconds since the table's epoch
    "shared",  # the spare slot that several packets lie in
    "filled",  # up to where
    "micros",  # the batch's time once more, in microseconds: for what answers take
)
COUNT_IN, PARSED_SO_FAR, FOUND_SO_FAR, TRACKED_SO_FAR, OUTPUT, SETTLED, SPARE, SOUGHT_SO_FAR = (
    range(8)
)
NOW, SHARED_SLOT, FILLED, MICROS = range(8, 12)

SPARE_SLOTS = 64  # for packets that are not an input packet changed in place
MOST_EXTRA = 1024  # output frames beyond one for each slot: the pieces of packets that were cut
OF_NO_PACKET = -1
NO_ROOM = -1
DRIVER_ROOM = 64  # before each packet of a slot: a driver writes its own header there

QUOTED, ANSWERING = 0, 1  # in `quotes`: as it is quoted, and with its ends exchanged


class Batch(NamedTuple):
    """`frames`, `parsed`, `outcomes` are by input packet; `output` has room for all and spares."""

    slots: NDArray[np.uint8]  # [slot, octet]
    frames: NDArray[np.void]  # FRAME
    parsed: NDArray[np.void]  # PARSED
    quotes: NDArray[np.void]  # PARSED[2]: what an ICMP error quotes, and what that answers
    outcomes: NDArray[np.int64]  # verdict | reason << 8
    output: NDArray[np.void]  # FRAME
    origins: NDArray[np.int64]  # [output] the input packet it was put out for, or OF_NO_PACKET
    octets: NDArray[
        np.int64
    ]  # [output] counted for its packet; 0: a further piece of the one before
    numbers: NDArray[np.int64]
    program_floats: NDArray[np.float64]  # what a policy of the user's own is shown of a pool
    program_wholes: NDArray[np.int64]


def make_batch(size: int, slot_bytes: int = SLOT_BYTES) -> Batch:
    """Return an empty batch for `size` packets of up to `slot_bytes - HEADROOM` octets."""
    floats, wholes = make_scratch()
    return Batch(
        slots=np.zeros((size + SPARE_SLOTS, slot_bytes), np.uint8),
        frames=np.zeros(size, FRAME),
        parsed=np.zeros(size, PARSED),
        quotes=np.zeros(2, PARSED),
        outcomes=np.zeros(size, np.int64),
        output=np.zeros(size + SPARE_SLOTS + MOST_EXTRA, FRAME),
        origins=np.zeros(size + SPARE_SLOTS + MOST_EXTRA, np.int64),
        octets=np.zeros(size + SPARE_SLOTS + MOST_EXTRA, np.int64),
        numbers=np.zeros(len(NUMBERS), np.int64),
        program_floats=floats,
        program_wholes=wholes,
    )


@kernel
def start_batch(batch: Batch, count: int) -> None:
    """Begin with `count` input frames and no output."""
    batch.numbers[COUNT_IN] = count
    batch.numbers[PARSED_SO_FAR] = 0
    batch.numbers[FOUND_SO_FAR] = 0
    batch.numbers[SOUGHT_SO_FAR] = 0
    batch.numbers[TRACKED_SO_FAR] = 0
    batch.numbers[OUTPUT] = 0
    batch.numbers[SETTLED] = 0
    batch.numbers[SPARE] = 0
    batch.numbers[FILLED] = batch.slots.shape[1]


@kernel
def emit(batch: Batch, frame: Frame, way: int) -> None:
    """Append a frame to the output, to leave by `way`."""
    at = batch.numbers[OUTPUT]
    batch.numbers[OUTPUT] = at + 1
    output = batch.output[at]
    output["slot"] = frame["slot"]
    output["start"] = frame["start"]
    output["length"] = frame["length"]
    output["way"] = way
    output["needs_checksum"] = frame["needs_checksum"]
    output["checksum_start"] = frame["checksum_start"]
    output["checksum_offset"] = frame["checksum_offset"]
    output["gso_type"] = frame["gso_type"]
    output["gso_size"] = frame["gso_size"]
    origin = batch.numbers[TRACKED_SO_FAR]
    batch.origins[at] = origin
    batch.octets[at] = batch.parsed[origin]["wire_bytes"]


@kernel
def spare_slots_left(batch: Batch) -> int:
    """Return how many packets of natlb's own still fit into this batch."""
    return SPARE_SLOTS - i64(batch.numbers[SPARE])


@kernel
def take_spare_slot(batch: Batch) -> int:
    """Return a slot for a packet of natlb's own, which begins at HEADROOM there."""
    slot = batch.frames.size + i64(batch.numbers[SPARE])
    batch.numbers[SPARE] += 1
    return slot


@kernel
def take_room(batch: Batch, octets: int) -> tuple[int, int]:
    """Return slot and start for a packet beside others in a spare slot, or NO_ROOM twice."""
    start = i64(batch.numbers[FILLED]) + DRIVER_ROOM
    if start + octets > batch.slots.shape[1]:
        if spare_slots_left(batch) == 0 or HEADROOM + octets > batch.slots.shape[1]:
            return NO_ROOM, NO_ROOM
        batch.numbers[SHARED_SLOT] = take_spare_slot(batch)
        start = HEADROOM
    batch.numbers[FILLED] = start + octets
    return i64(batch.numbers[SHARED_SLOT]), start


@kernel
def is_output_full(batch: Batch) -> bool:
    """Return whether a packet may put out no more: every other one has its own frame left."""
    return i64(batch.numbers[OUTPUT]) >= MOST_EXTRA


@kernel
def emit_piece(batch: Batch, slot: int, start: int, length: int, way: int, octets: int) -> None:
    """Append a finished piece of the packet in hand to the output.

    The first piece of a packet counts all of its `octets`, a further one none.
    """
    at = batch.numbers[OUTPUT]
    _append_plain(batch, slot, start, length, way)
    batch.origins[at] = batch.numbers[TRACKED_SO_FAR]
    batch.octets[at] = octets


@kernel
def emit_spare(batch: Batch, slot: int, length: int, way: int) -> None:
    """Append a finished packet in a spare slot to the output."""
    at = batch.numbers[OUTPUT]
    _append_plain(batch, slot, HEADROOM, length, way)
    batch.origins[at] = OF_NO_PACKET
    batch.octets[at] = length


@kernel
def _append_plain(batch: Batch, slot: int, start: int, length: int, way: int) -> None:
    """Append a frame with nothing left to the device to the output."""
    at = batch.numbers[OUTPUT]
    batch.numbers[OUTPUT] = at + 1
    output = batch.output[at]
    output["slot"] = slot
    output["start"] = start
    output["length"] = length
    output["way"] = way
    output["needs_checksum"] = 0
    output["checksum_start"] = 0
    output["checksum_offset"] = 0
    output["gso_type"] = 0
    output["gso_size"] = 0
