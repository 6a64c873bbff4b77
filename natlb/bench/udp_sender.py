"""A sender that loads anything: frames straight to an interface, 64 with each system call.

`sendmmsg` on a packet socket with PACKET_QDISC_BYPASS, in compiled code. A UDP socket sends a third
as many, which is less than what is measured takes. Bounded in time, and in rate where one is asked
for; frames go out of the one interface it was given, in the namespace it was opened in.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from natlb.jit import compile_for, entry, external, i64, kernel
from natlb.netlink import call_inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

sendmmsg = external("sendmmsg", "int32", "int32", "intp", "int32", "int32")
clock_gettime = external("clock_gettime", "int32", "int32", "intp")
nanosleep = external("nanosleep", "int32", "intp", "intp")

CLOCK_MONOTONIC = 1  # Linux: time.h
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # Linux: socket.h, if_packet.h
SEND_BUFFER = 4 << 20  # octets; the default holds a few hundred small frames
BATCH = 64
SLICE_SECONDS = 0.25  # compiled code hears no ^C
SECOND = 1_000_000_000

# Linux: struct iovec and struct mmsghdr on 64-bit machines
IOVEC = np.dtype([("base", np.int64), ("length", np.int64)])
MMSGHDR = np.dtype(
    [
        ("name", np.int64),
        ("name_length", np.int64),
        ("vectors", np.int64),
        ("vector_count", np.int64),
        ("control", np.int64),
        ("control_length", np.int64),
        ("flags", np.int64),
        ("sent", np.int64),
    ]
)
MESSAGE_OCTETS = MMSGHDR.itemsize

NEXT, SENT, REFUSED, SPARE = range(4)  # the sender's own numbers


class Sent(NamedTuple):
    """What became of a request to send; `refused`: batches that the interface did not take."""

    frames: int
    refused: int
    seconds: float


@entry
def send_until(
    fd: int, messages: NDArray[np.void], numbers: NDArray[np.int64], until: int, gap: int
) -> int:
    """Send batches, the messages over and over, until this time; return the time it is then.

    `gap` is nanoseconds from one batch to the next; 0: as fast as it goes.
    """
    timespec = numbers[SPARE : SPARE + 2]
    start = _now(timespec)
    now = start
    due = start
    while now < until:
        if now < due:
            _sleep(timespec, min(due, until) - now)
        else:
            _send_batch(fd, messages, numbers)
            due = due + gap
        now = _now(timespec)
    return now


@kernel
def _send_batch(fd: int, messages: NDArray[np.void], numbers: NDArray[np.int64]) -> None:
    """Send the next messages, up to 64, and go on behind the last that was taken."""
    first = numbers[NEXT]
    count = min(BATCH, messages.size - first)
    at = messages.ctypes.data + first * MESSAGE_OCTETS
    sent = sendmmsg(fd, at, count, 0)
    if sent <= 0:
        numbers[REFUSED] += 1
        sent = 0
    numbers[SENT] += sent
    numbers[NEXT] = (first + sent) % messages.size


@kernel
def _now(timespec: NDArray[np.int64]) -> int:
    """Return the monotonic clock's nanoseconds."""
    clock_gettime(CLOCK_MONOTONIC, timespec.ctypes.data)
    return i64(timespec[0] * SECOND + timespec[1])


@kernel
def _sleep(timespec: NDArray[np.int64], nanoseconds: int) -> None:
    """Sleep less than a second."""
    timespec[0] = 0
    timespec[1] = min(nanoseconds, SECOND - 1)
    nanosleep(timespec.ctypes.data, 0)


class UdpSender:
    """A packet socket on an interface, and the frames that it sends; a context manager."""

    def __init__(self, netns: str, interface: str, frames: NDArray[np.uint8]) -> None:
        """Open the socket; `frames` is `[frame, octet]`, from the Ethernet header on."""
        self._frames = np.ascontiguousarray(frames)
        self._vectors, self._messages = lay_out(self._frames)
        self._numbers = np.zeros(SPARE + 2, np.int64)
        self._socket = call_inside(netns, lambda: open_socket(interface))
        compile_for(send_until, 0, self._messages, self._numbers, 0, 0)

    def __enter__(self) -> Self:
        """Return the sender."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, seconds: float, rate: float = 0) -> Sent:
        """Send for so long, at most `rate` frames a second (0: as many as go)."""
        numbers, fd = self._numbers, self._socket.fileno()
        gap = round(BATCH * SECOND / rate) if rate else 0
        before, refused = int(numbers[SENT]), int(numbers[REFUSED])
        began = now = time.monotonic_ns()
        end = began + round(seconds * SECOND)
        while now < end:
            until = min(end, now + round(SLICE_SECONDS * SECOND))
            now = send_until(fd, self._messages, numbers, until, gap)
        return Sent(
            frames=int(numbers[SENT]) - before,
            refused=int(numbers[REFUSED]) - refused,
            seconds=(now - began) / SECOND,
        )


def frames(source: str, target: str, packets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Ethernet frames around IPv4 packets."""
    macs = bytes.fromhex((target + source).replace(":", ""))
    header = np.frombuffer(macs + b"\x08\x00", np.uint8)
    return np.hstack([np.tile(header, (packets.shape[0], 1)), packets])


def at_least_a_batch(made: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the frames, over and over where they are fewer than go with one system call."""
    return np.tile(made, (-(-BATCH // made.shape[0]), 1))


def lay_out(frames: NDArray[np.uint8]) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the vectors and messages that name these frames; the frames must stay where they are.

    Messages hold addresses: whoever keeps them keeps the vectors and the frames.
    """
    count, length = frames.shape
    vectors, messages = np.zeros(count, IOVEC), np.zeros(count, MMSGHDR)
    vectors["base"] = frames.ctypes.data + np.arange(count) * length
    vectors["length"] = length
    messages["vectors"] = vectors.ctypes.data + np.arange(count) * IOVEC.itemsize
    messages["vector_count"] = 1
    return vectors, messages


def open_socket(interface: str) -> socket.socket:
    """Return a packet socket of this namespace that only sends."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        made.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        made.bind((interface, 0))
    except BaseException:
        made.close()
        raise
    return made
