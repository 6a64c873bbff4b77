"""Queues without a kernel device: socket pairs that keep packets apart, as TUN queues do."""

from __future__ import annotations

import os
import socket
from struct import pack, unpack

from natlb.io.ports import Port, PortKind

HEADER = "<BBHHHH"  # flags, gso type, header length, gso size, csum start and offset (virtio 1.2)
HEADER_OCTETS = 10


class FakeQueue:
    """A TUN queue's fd (`inner`), and the network on the other side of it."""

    def __init__(self) -> None:
        """Make both ends."""
        outer, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inner.setblocking(False)
        outer.setblocking(False)
        self._outer, self.inner = outer, inner

    def arrive(self, packet: bytes, form: tuple[int, ...] = (0, 0, 0, 0, 0, 0)) -> None:
        """Let a packet wait in the queue."""
        self._outer.send(pack(HEADER, *form) + packet)

    def left(self) -> list[tuple[tuple[int, ...], bytes]]:
        """Return what was written to the queue, each with its offload form."""
        found: list[tuple[tuple[int, ...], bytes]] = []
        while True:
            try:
                octets = self._outer.recv(1 << 17)
            except BlockingIOError:
                return found
            found.append((unpack(HEADER, octets[:HEADER_OCTETS]), octets[HEADER_OCTETS:]))

    def drain(self) -> None:
        """Forget what waits in the queue."""
        while True:
            try:
                self.inner.recv(1 << 17)
            except BlockingIOError:
                return

    def port(self, side: int) -> Port:
        """Return it as a worker is given it."""
        return Port(PortKind.TUN, side, self.inner.fileno())

    def widen(self) -> None:
        """Let as much wait as a test may send."""
        self.inner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 21)

    def narrow(self) -> None:
        """Let little wait."""
        self.inner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)

    def vanish(self) -> None:
        """Go away, as a device that is deleted."""
        self._outer.close()

    def close(self) -> None:
        """Close what is open."""
        self._outer.close()
        self.inner.close()


class Wake:
    """An fd that is readable once somebody calls."""

    def __init__(self) -> None:
        """Make it, quiet."""
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)

    def call(self) -> None:
        """Make it readable."""
        os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)
