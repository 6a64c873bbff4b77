from __future__ import annotations

import numpy as np

from natlb.core.batch import (
    COUNT_IN,
    DRIVER_ROOM,
    FILLED,
    MICROS,
    MOST_EXTRA,
    NO_ROOM,
    NOW,
    NUMBERS,
    OF_NO_PACKET,
    OUTPUT,
    SETTLED,
    SHARED_SLOT,
    SOUGHT_SO_FAR,
    SPARE,
    SPARE_SLOTS,
    TRACKED_SO_FAR,
    emit,
    emit_piece,
    emit_spare,
    is_output_full,
    make_batch,
    spare_slots_left,
    start_batch,
    take_room,
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
    batch.parsed[0]["wire_bytes"] = 1234
    emit(batch, frame, 1)

    output = batch.output[0]
    assert (batch.origins[0], batch.octets[0]) == (0, 1234)
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
    assert batch.origins[batch.numbers[OUTPUT] - 1] == OF_NO_PACKET


def test_a_batch_that_starts_has_nothing_of_the_last() -> None:
    """Its numbers are what it goes by."""
    batch = make_batch(2, 256)
    batch.numbers[:] = 7
    start_batch(batch, 2)

    assert batch.numbers[COUNT_IN] == 2
    assert batch.numbers[FILLED] == 256  # a shared slot that is full: the next is a new one
    kept = [COUNT_IN, NOW, SHARED_SLOT, FILLED, MICROS]
    assert not np.delete(batch.numbers, kept).any()


def test_there_is_room_for_every_packet_and_every_spare() -> None:
    """An output frame too many would raise in the middle of a batch."""
    batch = make_batch(5, 256)

    assert len(batch.slots) == 5 + SPARE_SLOTS
    assert len(batch.output) == len(batch.origins) == len(batch.octets)
    assert len(batch.output) == 5 + SPARE_SLOTS + MOST_EXTRA
    assert len(batch.frames) == len(batch.parsed) == len(batch.outcomes) == 5
    assert batch.numbers.size == len(NUMBERS)
    assert max(SETTLED, SPARE, SOUGHT_SO_FAR, MICROS) == len(NUMBERS) - 1


def test_small_packets_share_a_spare_slot() -> None:
    """With room for a driver's header before each."""
    batch = make_batch(2, HEADROOM + 300)
    start_batch(batch, 0)
    places = [take_room(batch, size) for size in (100, 136, 1, 300)]

    first, second, third = 2, 3, 4
    assert places == [
        (first, HEADROOM),
        (first, HEADROOM + 100 + DRIVER_ROOM),
        (second, HEADROOM),
        (third, HEADROOM),
    ]
    assert take_room(batch, 301) == (NO_ROOM, NO_ROOM)
    while spare_slots_left(batch):
        take_spare_slot(batch)
    assert take_room(batch, 1) == (NO_ROOM, NO_ROOM)


def test_a_piece_is_put_out_for_the_packet_in_hand() -> None:
    """The first counts all of its octets, and the queue hears of nothing left to do."""
    batch = make_batch(2, 256)
    start_batch(batch, 2)
    batch.numbers[TRACKED_SO_FAR] = 1
    batch.output["gso_type"] = 9
    emit_piece(batch, 3, 77, 40, 1, 2000)
    output = batch.output[0]

    assert (output["slot"], output["start"], output["length"], output["way"]) == (3, 77, 40, 1)
    assert (output["gso_type"], output["needs_checksum"]) == (0, 0)
    assert (batch.origins[0], batch.octets[0]) == (1, 2000)


def test_output_is_full_while_every_other_packet_has_a_frame_left() -> None:
    """Pieces of one may not take the frames of others."""
    batch = make_batch(5, 256)
    start_batch(batch, 5)
    assert not is_output_full(batch)
    batch.numbers[OUTPUT] = MOST_EXTRA

    assert is_output_full(batch)
    assert len(batch.output) - MOST_EXTRA >= 5
