from __future__ import annotations

import numpy as np

from natlb.core.batch import (
    COUNT_IN,
    NUMBERS,
    OUTPUT,
    SETTLED,
    SPARE,
    SPARE_SLOTS,
    TOUCHED,
    emit,
    emit_spare,
    make_batch,
    spare_slots_left,
    start_batch,
    take_spare_slot,
)
from natlb.core.layout import HEADROOM
from natlb.wire.frame import FRAME
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_an_output_frame_is_the_input_frame_but_for_its_way() -> None:
    """It is copied: the slot may be rewritten for the next packet before this one is sent."""
    batch = make_batch(4, 256)
    start_batch(batch, 1)
    frame = batch.frames[0]
    for number, name in enumerate(FRAME.names or ()):
        frame[name] = 10 + number
    emit(batch, frame, 1)

    output = batch.output[0]
    assert output["way"] == 1
    assert all(output[name] == frame[name] for name in FRAME.names or () if name != "way")
    assert batch.numbers[OUTPUT] == 1


def test_spare_slots_lie_behind_those_of_the_input() -> None:
    """As many as there are, and a packet in one is finished."""
    batch = make_batch(2, 256)
    start_batch(batch, 0)
    batch.output["gso_type"] = 9
    slots = []
    while spare_slots_left(batch):
        slots.append(take_spare_slot(batch))
        emit_spare(batch, slots[-1], 40, 1)

    assert slots == list(range(2, 2 + SPARE_SLOTS)) == list(range(2, len(batch.slots)))
    last = batch.output[batch.numbers[OUTPUT] - 1]
    assert (last["slot"], last["start"], last["length"], last["way"]) == (
        slots[-1],
        HEADROOM,
        40,
        1,
    )
    assert last["gso_type"] == 0


def test_a_batch_that_starts_has_nothing_of_the_last() -> None:
    """Its numbers are what it goes by."""
    batch = make_batch(2, 256)
    batch.numbers[:] = 7
    start_batch(batch, 2)

    assert batch.numbers[COUNT_IN] == 2
    assert not np.delete(batch.numbers, [COUNT_IN, TOUCHED]).any()


def test_there_is_room_for_every_packet_and_every_spare() -> None:
    """An output frame too many would raise in the middle of a batch."""
    batch = make_batch(5, 256)

    assert len(batch.output) == len(batch.slots) == 5 + SPARE_SLOTS
    assert len(batch.frames) == len(batch.parsed) == len(batch.outcomes) == 5
    assert batch.numbers.size == len(NUMBERS)
    assert max(SETTLED, SPARE, TOUCHED) < len(NUMBERS)
