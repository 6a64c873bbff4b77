"""AF_XDP sockets in plain Python. The numbers are those of Linux: if_xdp.h."""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import socket
from struct import pack, pack_into, unpack, unpack_from

from natlb.io.xsk_shape import FRAME_OCTETS as WHOLE_OCTETS
from natlb.io.xsk_shape import RING_SIZE, UMEM_OCTETS

AF_XDP, SOL_XDP = 44, 283
MMAP_OFFSETS, RX_RING, TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING = 1, 2, 3, 4, 5, 6
FILL_PLACE = 0x100000000
COPY, NEED_WAKEUP = 1 << 1, 1 << 3
FRAMES, FRAME_OCTETS = 64, 2048
RING_OCTETS = mmap.PAGESIZE  # what 64 frames need; the kernel refuses to map more

_C = ctypes.CDLL(None, use_errno=True)


def _bind(descriptor: int, address: bytes) -> None:
    """Bind to an address of a family that Python does not know."""
    if _C.bind(descriptor, address, len(address)) < 0:
        reason = ctypes.get_errno()
        raise OSError(reason, os.strerror(reason))


def open_whole(ifindex: int, queue: int) -> tuple[int, int]:
    """Return the fds of a socket as natlb's worker is given it, and of its memory."""
    memory = os.memfd_create("frames")
    try:
        os.ftruncate(memory, UMEM_OCTETS)
        with socket.socket(AF_XDP, socket.SOCK_RAW, 0) as made:
            with mmap.mmap(memory, UMEM_OCTETS) as mapped:
                _register(made, mapped)
            for ring in (RX_RING, TX_RING, FILL_RING, COMPLETION_RING):
                made.setsockopt(SOL_XDP, ring, RING_SIZE)
            flags = COPY | NEED_WAKEUP
            _bind(made.fileno(), pack("=HHIII", AF_XDP, flags, ifindex, queue, 0))
            return made.detach(), memory
    except BaseException:
        os.close(memory)
        raise


def _register(made: socket.socket, mapped: mmap.mmap) -> None:
    """Have the kernel hold the memory's pages for a socket: it needs the mapping no more then."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    registered = pack("=QQIIII", start, len(mapped), WHOLE_OCTETS, 0, 0, 0)
    made.setsockopt(SOL_XDP, UMEM_REG, registered)


class XdpSocket:
    """A socket bound to a queue of an interface of this thread's namespace: it receives, no more.

    It has its own memory of 64 frames and gives none back.
    """

    def __init__(self, ifindex: int, queue: int) -> None:
        """Register memory, fill the kernel's ring with all of it, and bind."""
        self.socket = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
        self.memory = mmap.mmap(-1, FRAMES * FRAME_OCTETS)
        try:
            self._make_rings()
            address = pack("=HHIII", AF_XDP, COPY, ifindex, queue, 0)
            _bind(self.socket.fileno(), address)
        except BaseException:
            self.socket.close()
            raise

    def _make_rings(self) -> None:
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        registered = pack("=QQIIII", start, len(self.memory), FRAME_OCTETS, 0, 0, 0)
        self.socket.setsockopt(SOL_XDP, UMEM_REG, registered)
        for ring in (FILL_RING, COMPLETION_RING, RX_RING):
            self.socket.setsockopt(SOL_XDP, ring, FRAMES)
        offsets = unpack("=16Q", self.socket.getsockopt(SOL_XDP, MMAP_OFFSETS, 128))
        self.produced, _, self.packets = offsets[0:3]
        self.received = self._ring(0)
        fill = self._ring(FILL_PLACE)
        produced, _, frames = offsets[8:11]
        for number in range(FRAMES):
            pack_into("=Q", fill, frames + 8 * number, number * FRAME_OCTETS)
        pack_into("=I", fill, produced, FRAMES)
        self.seen = 0

    def _ring(self, place: int) -> mmap.mmap:
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        return mmap.mmap(self.socket.fileno(), RING_OCTETS, flags=flags, offset=place)

    def receive(self, seconds: float = 20) -> bytes | None:
        """Return the next frame, or nothing where none comes in time."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        (produced,) = unpack_from("=I", self.received, self.produced)
        assert self.seen < produced <= FRAMES
        place, length, _ = unpack_from("=QII", self.received, self.packets + 16 * self.seen)
        self.seen += 1
        # What was taken is said to the kernel, or the socket would stay readable.
        pack_into("=I", self.received, self.consumed_place(), self.seen)
        return bytes(self.memory[place : place + length])

    def consumed_place(self) -> int:
        """Return where the kernel looks for how much was taken."""
        return int(unpack("=16Q", self.socket.getsockopt(SOL_XDP, MMAP_OFFSETS, 128))[1])

    def close(self) -> None:
        """Close it: it leaves every map of sockets."""
        self.socket.close()
        self.received.close()
