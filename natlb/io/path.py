"""The packet path's way in and out, whichever driver's: chosen once for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.io.calls import POLLERR, POLLHUP, POLLNVAL, poll
from natlb.io.direct import send_directly
from natlb.io.packet import read_links
from natlb.io.queues import BY_ROUTE, DRIVER, OUTPUT_BY, PACKET_DRIVER, TUN_DRIVER, XDP_DRIVER
from natlb.io.tun import read_tuns, write_tuns
from natlb.io.xdp import read_rings
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.counters import Counters
    from natlb.core.next_hops import NextHops
    from natlb.io.queues import Queues

IDLE = 0
READY = 1
LOST = 2
WOKEN = 3


@kernel
def read_batch(queues: Queues, batch: Batch, hops: NextHops) -> int:
    """Fill the batch with what waits, an equal share of it from each way in; return how many."""
    if queues.numbers[DRIVER] == PACKET_DRIVER:
        return read_links(queues, batch, hops)
    if queues.numbers[DRIVER] == XDP_DRIVER:
        return read_rings(queues, batch)
    return read_tuns(queues, batch)


@rare_kernel
def write_batch(queues: Queues, batch: Batch, counters: Counters, hops: NextHops) -> None:
    """Send the batch's output, each frame by its way out."""
    if queues.numbers[OUTPUT_BY] == BY_ROUTE:
        write_tuns(queues, batch, counters)
    else:
        send_directly(queues, batch, counters, hops)


@kernel
def wait(queues: Queues, milliseconds: int) -> int:
    """Wait for a packet or the wake fd: return WOKEN, LOST, READY, or IDLE at the time's end."""
    polled = queues.polled
    gone = POLLNVAL  # a packet socket says POLLERR of a link that is down, once
    if queues.numbers[DRIVER] == TUN_DRIVER:
        gone = POLLERR | POLLHUP | POLLNVAL
    if poll(polled.ctypes.data, polled.size, milliseconds) <= 0:
        return IDLE
    if i64(polled[queues.fds.size]["revents"]) != 0:
        return WOKEN
    for way in range(queues.fds.size):
        seen = i64(polled[way]["revents"])
        if seen & gone:
            return LOST
        if seen != 0:
            queues.ready[way] = 1
    return READY


@kernel
def may_be_more(queues: Queues) -> bool:
    """Return whether a way in may hold packets that nobody has asked poll() about."""
    ready = 0
    for way in range(queues.fds.size):
        ready |= i64(queues.ready[way])
    return ready != 0
