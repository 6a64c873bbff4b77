"""The rings and frames of AF_XDP sockets, mapped: four rings and a UMEM for each socket.

Everything lies in one mapping with a fixed place for each ring, so that the same compiled code
serves any number of sockets. The supervisor makes the sockets (`xsk_shape.py` says how large) and
keeps them when a worker dies: the rings then lie in the kernel, and the next worker maps them.

Who holds a frame is told by two counts for each half of the frames, whatever moment a worker was
killed at:

    receiving   filled - received    frames that the kernel has, or that wait to be received
    sending     sent - completed     frames that the kernel has, or that wait to be taken again

A worker has a frame only for a moment: what it received it copies and gives back at once, and what
it sends goes into a frame that it takes from the completion ring for that. It gives a frame to the
one ring first and takes it from the other one then. Killed between the two, it leaves a count
above the half's size, by as many frames as the second ring still shows and the first one has
already: `take_over` passes over them. So no frame is lost, and none is given twice; the packets
that were in hand are lost, as a TUN's are. That no other worker has the socket any more is
the supervisor's to see to.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
from struct import unpack
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.io.ports import Port, PortKind
from natlb.io.xsk_shape import (
    FRAME_OCTETS,
    RECEIVE_FRAMES,
    RING_SIZE,
    SEND_FRAMES,
    UMEM_OCTETS,
)
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RECEIVE, SEND, FILL, COMPLETION = range(4)  # as `struct xdp_mmap_offsets` has them
RINGS = 4
PRODUCER, CONSUMER, ENTRIES, FLAGS = range(4)  # where they lie in a ring, in octets
PLACES = 4
RING_OCTETS = 10 * mmap.PAGESIZE  # 2,048 entries of 16 octets, and what stands before them
WORD = 0xFFFFFFFF  # the kernel's counts have 32 bits

# The numbers of Linux, in its if_xdp.h
AF_XDP, SOL_XDP, XDP_MMAP_OFFSETS = 44, 283, 1
OFFSETS_OCTETS = RINGS * PLACES * 8
PAGE_OFFSETS = (0, 0x80000000, 0x100000000, 0x180000000)  # of RECEIVE, SEND, FILL, COMPLETION
MAP_FIXED = 0x10

DESCRIPTOR = np.dtype([("frame", np.int64), ("length", np.uint32), ("options", np.uint32)])


class Rings(NamedTuple):
    """By AF_XDP socket, of which a worker of another driver has none: then all is empty."""

    places: NDArray[np.int64]  # [socket, ring, PLACES]
    words: NDArray[np.uint32]  # [socket, ring, octet / 4]
    entries: NDArray[np.int64]  # [socket, ring, octet / 8]
    frames: NDArray[np.uint8]  # [socket, octet of its UMEM]


def make_rings(inward: Sequence[Port]) -> Rings:
    """Map the rings and frames of the ways in that are AF_XDP sockets, and take them over.

    They stay mapped, and a socket open, as long as the arrays are in use. Raises ValueError where
    one is not of the shape.
    """
    sockets = [port for port in inward if port.kind is PortKind.XSK]
    octets = len(sockets) * (RINGS * RING_OCTETS + UMEM_OCTETS)
    region = mmap.mmap(-1, max(octets, mmap.PAGESIZE))
    memory = np.frombuffer(region, np.uint8)[:octets]
    places = np.zeros((len(sockets), RINGS, PLACES), np.int64)
    rings = cut_rings(memory, places)
    for at, port in enumerate(sockets):
        try:
            places[at] = offsets_of(port.fd)
            _map_socket(rings, at, port)
        except OSError as error:
            message = f"an AF_XDP socket that cannot be mapped: {error}"
            raise ValueError(message) from error
        start(rings, at)
    return rings


def cut_rings(memory: NDArray[np.uint8], places: NDArray[np.int64]) -> Rings:
    """Return the arrays of so many sockets in a memory that holds all rings, then all frames."""
    sockets = places.shape[0]
    ends = sockets * RINGS * RING_OCTETS
    return Rings(
        places=places,
        words=memory[:ends].view(np.uint32).reshape((sockets, RINGS, RING_OCTETS // 4)),
        entries=memory[:ends].view(np.int64).reshape((sockets, RINGS, RING_OCTETS // 8)),
        frames=memory[ends:].reshape((sockets, UMEM_OCTETS)),
    )


def offsets_of(fd: int) -> NDArray[np.int64]:
    """Return where a socket's rings have their parts, as this kernel lays them out."""
    with socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=os.dup(fd)) as xsk:
        return read_offsets(xsk.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS_OCTETS))


def read_offsets(found: bytes) -> NDArray[np.int64]:
    """Return a `struct xdp_mmap_offsets`, [ring, PLACES]; ValueError if natlb does not know it."""
    if len(found) != OFFSETS_OCTETS:
        message = f"{len(found)} octets of ring offsets: Linux 5.4 or newer has {OFFSETS_OCTETS}"
        raise ValueError(message)
    places = np.array(unpack("=16q", found), np.int64).reshape((RINGS, PLACES))
    if (places < 0).any() or (places[:, ENTRIES] + 16 * RING_SIZE > RING_OCTETS).any():
        message = f"rings laid out otherwise than natlb knows: {places.tolist()}"
        raise ValueError(message)
    return places


def _map_socket(rings: Rings, at: int, port: Port) -> None:
    """Put a socket's rings and frames where the arrays lie."""
    found = os.fstat(port.memory).st_size
    if found != UMEM_OCTETS:
        message = f"frames of {found} octets, expected {UMEM_OCTETS}"
        raise ValueError(message)
    base = rings.words.ctypes.data + at * RINGS * RING_OCTETS
    for ring in range(RINGS):
        wide = 8 if ring in {FILL, COMPLETION} else DESCRIPTOR.itemsize
        octets = int(rings.places[at, ring, ENTRIES]) + RING_SIZE * wide
        map_at(base + ring * RING_OCTETS, octets, port.fd, PAGE_OFFSETS[ring])
    map_at(rings.frames.ctypes.data + at * UMEM_OCTETS, UMEM_OCTETS, port.memory, 0)


def map_at(address: int, octets: int, fd: int, offset: int) -> None:
    """Map a descriptor at an address that is mapped already; OSError where the kernel refuses."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_ssize_t
    library.mmap.argtypes = [
        ctypes.c_ssize_t,
        ctypes.c_size_t,
        *[ctypes.c_int] * 3,
        ctypes.c_int64,
    ]
    access, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_POPULATE | MAP_FIXED
    if library.mmap(address, octets, access, kind, fd, offset) != address:
        code = ctypes.get_errno()
        raise OSError(code, f"mmap: {os.strerror(code)}")


def start(rings: Rings, at: int) -> None:
    """Give a new socket its frames to receive into; take over one that another worker had."""
    if count_of(rings, at, FILL, PRODUCER) == count_of(rings, at, RECEIVE, CONSUMER) == 0:
        first = int(rings.places[at, FILL, ENTRIES]) // 8
        numbers = np.arange(RECEIVE_FRAMES, dtype=np.int64)
        rings.entries[at, FILL, first : first + RECEIVE_FRAMES] = numbers * FRAME_OCTETS
        set_count(rings, at, FILL, PRODUCER, RECEIVE_FRAMES)
    take_over(rings, at)


def take_over(rings: Rings, at: int) -> None:
    """Pass over what a killed worker had given to one ring, and not yet taken from the other."""
    for gave, took, frames in ((FILL, RECEIVE, RECEIVE_FRAMES), (SEND, COMPLETION, SEND_FRAMES)):
        given = count_of(rings, at, gave, PRODUCER)
        taken = count_of(rings, at, took, CONSUMER)
        if (given - taken) & WORD > frames:
            set_count(rings, at, took, CONSUMER, given - frames)


@kernel
def count_of(rings: Rings, at: int, ring: int, place: int) -> int:
    """Return a ring's producer or consumer count, or its flags."""
    return i64(rings.words[at, ring, rings.places[at, ring, place] // 4])


@kernel
def set_count(rings: Rings, at: int, ring: int, place: int, count: int) -> None:
    """Say a new count; what was written before must be seen before it (`release_fence`)."""
    rings.words[at, ring, rings.places[at, ring, place] // 4] = count & WORD
