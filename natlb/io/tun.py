"""TUN queues: one device for each side, super-packets and all.

Each packet stands behind a virtio-net header in its slot (wire/frame.py). By route, a packet is
written to the queue of its way out, whatever queue it came in by; direct, only what the host is to
route (direct.py).

A queue whose device was deleted says POLLERR for ever and fails each read and write: the loop
asks `poll()` when it read nothing, and gives up the queue there. A link that is down fails writes
alone: those packets are counted as `queue-full`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import OUTPUT, start_batch
from natlb.core.layout import HEADROOM, SLOT_BYTES
from natlb.io.calls import read, write
from natlb.io.unsent import NONE_LOST, account_lost, headers_of
from natlb.jit import i64, kernel
from natlb.wire.frame import VNET_HEADER, read_vnet_header, write_vnet_header

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.counters import Counters
    from natlb.io.queues import Queues

# Of super-packets a batch holds as many as a core's cache does: each is copied in and out again.
MOST_OCTETS = 1 << 18
SMALLEST = VNET_HEADER + 1  # octets that a read must give to hold a packet


@kernel
def read_tuns(queues: Queues, batch: Batch) -> int:
    """Fill the batch with what waits, half of it from each queue at most; return how many."""
    share = batch.frames.size // queues.fds.size
    count = 0
    for way in range(queues.fds.size):
        octets = 0
        for _ in range(share):
            if queues.ready[way] == 0 or octets >= MOST_OCTETS:
                break
            queues.ready[way] = _read_packet(queues, batch, count, way)
            octets += batch.frames[count]["length"] * queues.ready[way]
            count += queues.ready[way]
    start_batch(batch, count)
    return count


@kernel
def _read_packet(queues: Queues, batch: Batch, slot: int, way: int) -> int:
    """Read a packet into a slot; return 1, or 0 where there was none."""
    at = batch.slots.ctypes.data + slot * SLOT_BYTES + HEADROOM - VNET_HEADER
    got = read(queues.fds[way], at, SLOT_BYTES - HEADROOM + VNET_HEADER)
    if got < SMALLEST:
        return 0
    frame = batch.frames[slot]
    frame["slot"] = slot
    frame["start"] = HEADROOM
    frame["length"] = got - VNET_HEADER
    frame["way"] = way
    read_vnet_header(batch.slots[slot], frame)
    return 1


@kernel
def write_tuns(queues: Queues, batch: Batch, counters: Counters) -> None:
    """Write the batch's output, each frame to the queue of its way out."""
    lost = NONE_LOST
    for at in range(batch.numbers[OUTPUT]):
        if not write_to_tun(queues, batch, at):
            lost = account_lost(batch, counters, at, lost)
    batch.numbers[OUTPUT] = 0


@kernel
def write_to_tun(queues: Queues, batch: Batch, at: int) -> bool:
    """Write an output frame behind its header; return whether the queue took it."""
    frame = batch.output[at]
    slot = i64(frame["slot"])
    write_vnet_header(batch.slots[slot], frame, headers_of(batch, at))
    start = batch.slots.ctypes.data + slot * SLOT_BYTES + frame["start"] - VNET_HEADER
    length = frame["length"] + VNET_HEADER
    return bool(write(queues.fds[frame["way"]], start, length) == length)
