"""Sockets as checks use them: opened where the backends are, connected, read within bounds.

Every connection is closed by a reset: natlb keeps no TIME_WAIT, of which a thousand checks a second
would make sixty thousand, more than there are ports (decision 0040).

Laws
    What a backend sends is read up to a bound, and the loop has its turn after every read: a
    backend that floods holds up nothing and nobody, and its check ends at its timeout.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

from natlb.control.config.values import NetnsSide
from natlb.control.health.codes import Code
from natlb.control.health.steps import CONNECT, Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from natlb.control.config.values import Config
    from natlb.control.health.probe import Target
    from natlb.control.health.steps import Steps

    OpenSocket = Callable[[int, int], Awaitable[socket.socket]]

MOST_READ = 128 * 1024
"""Octets that one check reads: the body's 64 KiB, and what is around it."""
TURNS = 8
"""So many times at least the loop has its turn while that is read."""
RESET = struct.pack("ii", 1, 0)
IP_BIND_ADDRESS_NO_PORT = 24  # Linux: in.h; the port is chosen by connect, where more are free

OURS = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN),
        *(errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAFNOSUPPORT, errno.EINVAL),
        *(errno.EPERM, errno.EACCES, errno.ENOSYS),
    }
)
"""Errors by which nothing is learned of a backend: no fd, no memory, no port, not the host's
address, a filter of the host's own. That there is no route (ENETUNREACH) is something learned: what
natlb would forward goes nowhere either."""


async def open_here(family: int, kind: int) -> socket.socket:
    """Return a new socket of natlb's own network namespace."""
    return socket.socket(family, kind)


def opener(config: Config, ask: OpenSocket) -> OpenSocket:
    """Return what opens sockets where the backends are: `ask` asks who may enter a namespace."""
    return ask if isinstance(config.datapath.private, NetnsSide) else open_here


async def connected(
    target: Target, kind: socket.SocketKind, steps: Steps, open_socket: OpenSocket
) -> socket.socket:
    """Return a socket connected to the target, or raise what the kernel says."""
    family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
    made = await open_socket(family, kind)
    try:
        made.setblocking(False)  # noqa: FBT003 - the standard library's way
        if target.source is not None:
            made.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            made.bind((str(target.source), 0))
        steps.saw("a socket" if target.source is None else f"a socket of {target.source}")
        steps.begin(CONNECT)
        await _connect(made, (str(target.address), target.port))
        steps.saw(_ends(made))
    except BaseException:
        made.close()
        raise
    return made


async def _connect(made: socket.socket, place: tuple[str, int]) -> None:
    try:
        made.connect(place)
    except BlockingIOError as begun:
        if begun.errno != errno.EINPROGRESS:
            raise
        await _writable(made)
        number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number)) from None


async def _writable(made: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(made.fileno(), _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(made.fileno())


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _ends(made: socket.socket) -> str:
    """Return both addresses; a socket that reached itself reached nobody.

    TCP does that where nobody listens at a port that connect also draws from.
    """
    here, there = made.getsockname(), made.getpeername()
    if here == there:
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return f"{_place(here)} to {_place(there)}"


def _place(name: tuple[str, int]) -> str:
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def reset(made: socket.socket) -> None:
    """Close a connection by a reset, and whatever it still carries."""
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    finally:
        made.close()


class Stream:
    """A TCP connection, read piece by piece and never more than so many octets in all."""

    def __init__(self, made: socket.socket, most: int) -> None:
        """Own a connected socket."""
        self._socket = made
        self._most = most
        self._piece = most // TURNS
        self._read = 0

    async def send(self, octets: bytes) -> None:
        """Send all of them."""
        await asyncio.get_running_loop().sock_sendall(self._socket, octets)

    async def receive(self) -> bytes:
        """Return what comes next, nothing at the end."""
        octets = await asyncio.get_running_loop().sock_recv(self._socket, self._piece)
        self._read += len(octets)
        if self._read > self._most:
            raise Failure(Code.L7RSP, f"more than {self._most} octets, and no end")
        await asyncio.sleep(0)  # a flood is read without waiting: let the timeout be heard
        return octets

    def close(self) -> None:
        """Reset the connection."""
        reset(self._socket)


async def open_stream(
    target: Target, steps: Steps, open_socket: OpenSocket, most: int = MOST_READ
) -> Stream:
    """Return a connection to the target, of which at most so many octets are read."""
    return Stream(await connected(target, socket.SOCK_STREAM, steps, open_socket), most)
