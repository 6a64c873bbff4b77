"""Batches over TUN queues: one device for each side, super-packets and all.

Each packet stands behind a virtio-net header in its slot (wire/frame.py). Where a packet leaves is
the frame's way out, whatever queue it came in by.

A queue whose device was deleted says POLLERR for ever and fails each read and write: the loop
asks `poll()` when it read nothing, and gives up the queue there. A link that is down fails writes
alone: those packets are counted as `queue-full`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.batch import OF_NO_PACKET, OUTPUT, Batch, start_batch
from natlb.core.counters import Counters, account_piece_unsent, account_unsent
from natlb.core.layout import HEADROOM, SLOT_BYTES
from natlb.jit import external, i64, kernel
from natlb.wire.frame import GSO_NONE, VNET_HEADER, read_vnet_header, write_vnet_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

read = external("read", "intp", "int32", "intp", "intp")
write = external("write", "intp", "int32", "intp", "intp")
poll = external("poll", "int32", "intp", "intp", "int32")

POLLFD = np.dtype([("fd", np.int32), ("events", np.int16), ("revents", np.int16)])
POLLIN = 0x001
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020

# Of super-packets a batch holds as many as a core's cache does: each is copied in and out again.
MOST_OCTETS = 1 << 18
SHARE = 2  # a batch has room for as many packets of either side
SMALLEST = VNET_HEADER + 1  # octets that a read must give to hold a packet

IDLE = 0
READY = 1
LOST = 2
WOKEN = 3


class Queues(NamedTuple):
    """The queues by way, and what `poll()` looks at: both queues, then the fd that wakes."""

    fds: NDArray[np.int64]
    ready: NDArray[np.int64]  # 1: there may be a packet; 0: there was none, so ask poll() first
    polled: NDArray[np.void]  # POLLFD[3]


def make_queues(public: int, private: int) -> Queues:
    """Return the queues of both sides, to be woken by nothing yet."""
    fds = np.array([public, private], np.int64)
    queues = Queues(fds, np.ones(fds.size, np.int64), np.zeros(fds.size + 1, POLLFD))
    queues.polled["fd"] = (public, private, -1)
    queues.polled["events"] = POLLIN
    return queues


@kernel
def read_batch(queues: Queues, batch: Batch) -> int:
    """Fill the batch with what waits, half of it from each queue at most; return how many."""
    share = batch.frames.size // SHARE
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
def write_batch(queues: Queues, batch: Batch, counters: Counters) -> None:
    """Write the batch's output, each frame to the queue of its way out."""
    is_lost = False
    for at in range(batch.numbers[OUTPUT]):
        origin = i64(batch.origins[at])
        octets = i64(batch.octets[at])
        is_lost = is_lost and octets == 0  # the rest of a packet of which a piece was lost
        if _write_frame(queues, batch, at, origin) or origin == OF_NO_PACKET:
            continue
        if is_lost:
            account_piece_unsent(counters)
        else:
            segments = i64(batch.parsed[origin]["segments"])
            account_unsent(counters, segments, octets, batch.outcomes[origin])
        is_lost = True
    batch.numbers[OUTPUT] = 0


@kernel
def _write_frame(queues: Queues, batch: Batch, at: int, origin: int) -> bool:
    """Write an output frame behind its header; return whether the queue took it."""
    frame = batch.output[at]
    slot = i64(frame["slot"])
    headers = 0
    if frame["gso_type"] != GSO_NONE:
        headers = i64(batch.parsed[origin]["payload"])  # only an input packet is a super-packet
    write_vnet_header(batch.slots[slot], frame, headers)
    start = batch.slots.ctypes.data + slot * SLOT_BYTES + frame["start"] - VNET_HEADER
    length = frame["length"] + VNET_HEADER
    return bool(write(queues.fds[frame["way"]], start, length) == length)


@kernel
def wait(queues: Queues, milliseconds: int) -> int:
    """Wait for a packet or the wake fd: return WOKEN, LOST, READY, or IDLE at the time's end."""
    polled = queues.polled
    if poll(polled.ctypes.data, polled.size, milliseconds) <= 0:
        return IDLE
    if i64(polled[2]["revents"]) != 0:
        return WOKEN
    for way in range(queues.fds.size):
        seen = i64(polled[way]["revents"])
        if seen & (POLLERR | POLLHUP | POLLNVAL):
            return LOST
        if seen & POLLIN:
            queues.ready[way] = 1
    return READY


@kernel
def may_be_more(queues: Queues) -> bool:
    """Return whether a queue may hold packets that nobody has asked poll() about."""
    return i64(queues.ready[0] | queues.ready[1]) != 0
