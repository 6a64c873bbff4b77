"""A worker's ways in and out as compiled code sees them: one shape for every driver.

The core is compiled once, into one loop. So whatever a driver needs lies in these arrays, empty
where it is another one's, and a number says once for each batch whose code runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.state import TTL_DIRECT, TTL_OWN, TTL_ROUTE
from natlb.io.calls import POLLFD, POLLIN
from natlb.io.ports import Port, PortKind
from natlb.io.receiving import Receiving, make_receiving
from natlb.io.rings import Rings, make_rings
from natlb.io.sending import Sending, make_sending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# What a worker's ways are, by position in `Queues.numbers`
QUEUE_NUMBERS = ("driver", "output", "ttl", "shut")
DRIVER, OUTPUT_BY, TTL, SHUT = range(4)  # SHUT: SHUT_4, SHUT_6
TUN_DRIVER, PACKET_DRIVER, XDP_DRIVER = range(3)
BY_ROUTE, DIRECT = range(2)

SIDES = 2
WAYS_IN = {
    PortKind.TUN: TUN_DRIVER,
    PortKind.LINK: PACKET_DRIVER,
    PortKind.XSK: XDP_DRIVER,
}


class Queues(NamedTuple):
    """Ways in by position, ways out by side, and what `poll()` looks at: the wake fd is last."""

    numbers: NDArray[np.int64]  # QUEUE_NUMBERS
    fds: NDArray[np.int64]  # [way in]; of `tun` the ways are the sides
    sides: NDArray[np.int64]  # [way in]
    ready: NDArray[np.int64]  # [way in] 1: there may be a packet; 0: there was none, so ask poll()
    polled: NDArray[np.void]  # POLLFD[ways in + 1]
    sending: Sending
    receiving: Receiving  # of packet sockets; of AF_XDP sockets links, lengths and tags alone
    rings: Rings  # of AF_XDP sockets: socket and way in are the same


def make_queues(ports: Sequence[Port]) -> Queues:
    """Return the ways in and out of a worker, to be woken by nothing yet.

    Raises ValueError where they are no driver's.
    """
    inward = sorted((port for port in ports if port.kind in WAYS_IN), key=lambda port: port.side)
    drivers = {WAYS_IN[port.kind] for port in inward}
    if len(drivers) != 1 or {port.side for port in inward} != {PUBLIC, PRIVATE}:
        message = f"ports of {len(drivers)} drivers: {[port.kind.name for port in ports]}"
        raise ValueError(message)
    sending = make_sending(ports)
    ways = len(inward)
    numbers = np.zeros(len(QUEUE_NUMBERS), np.int64)
    numbers[DRIVER] = drivers.pop()
    is_direct = numbers[DRIVER] == XDP_DRIVER or (sending.outputs >= 0).all()
    numbers[OUTPUT_BY] = DIRECT if is_direct else BY_ROUTE
    numbers[TTL] = _hops_of(int(numbers[DRIVER]), int(numbers[OUTPUT_BY]))
    out = [port.number for port in ports if (port.kind, port.side) == (PortKind.OUTPUT, PUBLIC)]
    numbers[SHUT] = max([0, *out])
    polled = np.zeros(ways + 1, POLLFD)
    polled["fd"] = [*(port.fd for port in inward), -1]
    polled["events"] = POLLIN
    return Queues(
        numbers=numbers,
        fds=np.array([port.fd for port in inward], np.int64),
        sides=np.array([port.side for port in inward], np.int64),
        ready=np.ones(ways, np.int64),
        polled=polled,
        sending=sending,
        receiving=make_receiving(inward),
        rings=make_rings(inward),
    )


def _hops_of(driver: int, output: int) -> int:
    """Return who takes the hops that a packet pays for passing."""
    if driver != TUN_DRIVER:
        return TTL_OWN
    return TTL_DIRECT if output == DIRECT else TTL_ROUTE
