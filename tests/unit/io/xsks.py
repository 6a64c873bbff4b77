"""AF_XDP sockets without a kernel: rings in memory that a test plays the kernel's part in.

An fd is a memfd, so large that each ring lies where a real socket has it; `install` has natlb ask
it where that is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from natlb.io import rings as rings_module
from natlb.io.ports import Port, PortKind
from natlb.io.rings import (
    COMPLETION,
    CONSUMER,
    ENTRIES,
    FILL,
    FLAGS,
    PAGE_OFFSETS,
    PRODUCER,
    RECEIVE,
    RING_OCTETS,
    SEND,
    Rings,
    count_of,
    make_rings,
    set_count,
)
from natlb.io.xsk_shape import KERNEL_HEADROOM, RING_SIZE, UMEM_OCTETS

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

OURS, THEIRS = "0a0000000001", "0a000000000b"
PLACES = (0, 128, 320, 196)  # of PRODUCER, CONSUMER, ENTRIES and FLAGS, as Linux has them
MASK = RING_SIZE - 1


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say for the kernel where rings have their parts."""
    places = np.array([PLACES] * 4, np.int64)
    monkeypatch.setattr(rings_module, "offsets_of", lambda _: places)


class FakeXsk:
    """A socket of an interface, its frames, and the kernel's end of both."""

    def __init__(self, side: int, ifindex: int) -> None:
        """Make both; nothing is mapped on natlb's end yet."""
        self.fd, self.memory = (os.memfd_create(name) for name in ("rings", "frames"))
        os.ftruncate(self.fd, PAGE_OFFSETS[-1] + RING_OCTETS)
        os.ftruncate(self.memory, UMEM_OCTETS)
        self.port = Port(PortKind.XSK, side, self.fd, ifindex, 0, self.memory)
        self._mapped: Rings | None = None

    @property
    def rings(self) -> Rings:
        """Return the kernel's view, once natlb has started the rings."""
        if self._mapped is None:
            self._mapped = make_rings([self.port])
        return self._mapped

    def count(self, ring: int, place: int) -> int:
        """Return a ring's count."""
        return count_of(self.rings, 0, ring, place)

    def set(self, ring: int, place: int, count: int) -> None:
        """Say a ring's count."""
        set_count(self.rings, 0, ring, place, count)

    def entry(self, ring: int, number: int, wide: int = 1) -> NDArray[np.int64]:
        """Return an entry of a ring, by the count that it has."""
        first = PLACES[ENTRIES] // 8 + wide * (number & MASK)
        return self.rings.entries[0, ring, first : first + wide]

    def arrive(self, packet: bytes, kind: str = "0800") -> None:
        """Receive a frame as the kernel does: into the next frame that it was given."""
        self.receive(bytes.fromhex(OURS + THEIRS + kind) + packet)

    def receive(self, octets: bytes) -> None:
        """Receive any octets."""
        got = self.count(RECEIVE, PRODUCER)
        taken = self.count(FILL, CONSUMER)
        assert taken != self.count(FILL, PRODUCER), "no frame to receive into"
        place = int(self.entry(FILL, taken)[0]) + KERNEL_HEADROOM
        self.set(FILL, CONSUMER, taken + 1)
        self.rings.frames[0, place : place + len(octets)] = np.frombuffer(octets, np.uint8)
        self.entry(RECEIVE, got, 2)[:] = place, len(octets)
        self.set(RECEIVE, PRODUCER, got + 1)

    def wake(self, *, wanted: bool) -> None:
        """Ask to be told of what is to be sent, or not."""
        self.set(SEND, FLAGS, int(wanted))

    def send(self, most: int = RING_SIZE) -> list[bytes]:
        """Send what is in the ring, at most so many frames, and return it: they are completed."""
        sent: list[bytes] = []
        while self.count(SEND, CONSUMER) != self.count(SEND, PRODUCER) and len(sent) < most:
            at = self.count(SEND, CONSUMER)
            place, octets = (int(each) for each in self.entry(SEND, at, 2))
            sent.append(self.rings.frames[0, place : place + octets].tobytes())
            self.set(SEND, CONSUMER, at + 1)
            done = self.count(COMPLETION, PRODUCER)
            self.entry(COMPLETION, done)[0] = place
            self.set(COMPLETION, PRODUCER, done + 1)
        return sent

    def close(self) -> None:
        """Close both fds."""
        os.close(self.fd)
        os.close(self.memory)
