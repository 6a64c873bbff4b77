"""A packet that is too large for its way out and may be fragmented: cut into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import NO_ROOM, OUTPUT, emit, emit_piece, is_output_full, take_room
from natlb.core.verdict import FORWARD, drop
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.cut import finish_checksum, header_of_pieces, share_of_piece, write_piece
from natlb.wire.frame import GSO_NONE
from natlb.wire.reasons import QUEUE_FULL

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def send_in_pieces(core: Core, i: int, way: int) -> int:
    """Put a rewritten packet out by `way`, as fragments of its MTU; return the outcome.

    What is cut is what the frame says, whatever `Parsed` knows of it: IPv4 with a plain header,
    or IPv6 with a fragment header. A super-packet is left whole: whoever cuts it into segments
    fragments those. All pieces leave, in order, or none does: then the batch had no room for more.
    """
    batch = core.batch
    frame = batch.frames[i]
    if frame["gso_type"] != GSO_NONE:
        emit(batch, frame, i64(way))
        return FORWARD
    packet = batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
    finish_checksum(packet, frame)
    before = i64(batch.numbers[OUTPUT])
    header = header_of_pieces(packet)
    share = share_of_piece(i64(core.tables.ways[way]["mtu"]), header)
    counted = i64(batch.parsed[i]["wire_bytes"])
    for at in range(header, packet.size, share):
        length = header + min(share, packet.size - at)
        if not _send_piece(core, packet, header, at, length, way, counted):
            batch.numbers[OUTPUT] = before
            return drop(QUEUE_FULL)
        counted = 0
    return FORWARD


@kernel
def _send_piece(
    core: Core, packet: Octets, header: int, at: int, length: int, way: int, counted: int
) -> bool:
    """Put out the piece of a packet that begins at `at`; return whether there was room."""
    batch = core.batch
    if is_output_full(batch):
        return False
    slot, start = take_room(batch, length)
    if slot == NO_ROOM:
        return False
    write_piece(packet, batch.slots[slot, start : start + length], header, at)
    emit_piece(batch, slot, start, length, i64(way), counted)
    return True
