"""Control's conversation with its supervisor, whoever that is at the moment.

Requests are answered in any order, each under its serial number. When the supervisor dies, requests
fail, everything else goes on; the next supervisor comes by the handover socket, is given all that
is held, and the conversation goes on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from typing import TYPE_CHECKING, Protocol

import structlog

from natlb.control.channel import Channel, close_all
from natlb.control.coding import MessageError
from natlb.control.failure import error_from
from natlb.control.handover import may_take_over
from natlb.control.holdings import Holdings
from natlb.control.messages import (
    Alive,
    Ask,
    Done,
    File,
    HandedOver,
    Hold,
    Learn,
    Leave,
    Listen,
    Message,
    OpenSocket,
    Output,
    Processes,
    ReadFile,
    Refused,
    Release,
    Reload,
    Start,
    Told,
    Unlearn,
    Want,
)
from natlb.control.roles import Role
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

STANDARD_ERROR = 2

log = structlog.get_logger()


class Listener(Protocol):
    """What control does when its supervisor speaks."""

    def started(self, said: Start) -> None:
        """Begin: all that is held has been said."""

    def held(self, role: Role, index: int) -> None:
        """Look at what is held here now."""

    def released(self, role: Role, index: int) -> None:
        """Let go of what was held here."""

    def reload_wanted(self, path: str) -> None:
        """Read the configuration again."""

    def processes_known(self, said: Processes) -> None:
        """Remember who is at work."""

    def leave_wanted(self) -> None:
        """End."""

    def told(self, said: Told) -> None:
        """Keep what the supervisor noticed."""

    def supervisor_lost(self) -> None:
        """Remember that nobody supervises."""

    def handed_over(self) -> HandedOver:
        """Return what an adopting supervisor needs to know besides what is held."""

    def adopted(self) -> None:
        """Tell the new supervisor what it should know of what is going on."""


class SupervisorLink:
    """One end of the conversation, and the fds that both ends hold."""

    def __init__(self, channel: Channel, listener: Listener) -> None:
        """Listen in the running loop."""
        self.holdings = Holdings()
        self._listener = listener
        self._serials = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int | None]] = {}
        self._channel: Channel | None = None
        self._accepting: socket.socket | None = None
        self._started = False
        self._connect(channel)

    @property
    def is_up(self) -> bool:
        """Whether there is a supervisor."""
        return self._channel is not None

    def _connect(self, channel: Channel) -> None:
        self._channel = channel
        asyncio.get_running_loop().add_reader(channel.fileno(), self._hear)

    def tell(self, message: Message, *fds: int) -> None:
        """Say this to the supervisor, if there is one."""
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.send(message, *fds)

    def hold(self, said: Hold, fd: int) -> None:
        """Own this fd, and have the supervisor hold it too."""
        self.holdings.take(said, fd)
        self.tell(said, fd)

    async def want(self, octets: int) -> None:
        """Have the host's network made so; `octets` is a memfd. Raises what the supervisor says."""
        await self._ask(lambda serial: Want(serial=serial), octets)

    async def learn(self, programs: int) -> None:
        """Have programs compiled, of a memfd. Raises what they are refused with."""
        await self._ask(lambda serial: Learn(serial=serial), programs)

    def unlearn(self) -> None:
        """Give up what was learned last, or is being learned."""
        self.tell(Unlearn())

    async def listen(self, path: str) -> None:
        """Have the API's socket made; it is held afterwards."""
        await self._ask(lambda serial: Listen(serial=serial, text=path))

    async def open_file(self, path: str) -> int:
        """Return a file open for reading, which only the supervisor may have the right to open."""
        fd = await self._ask(lambda serial: ReadFile(serial=serial, text=path))
        assert fd is not None
        return fd

    async def open_socket(self, family: int, kind: int) -> socket.socket:
        """Return a socket of the private side's namespace, which control may not enter."""
        fd = await self._ask(lambda serial: OpenSocket(serial=serial, family=family, type=kind))
        assert fd is not None
        return socket.socket(fileno=fd)

    async def _ask(self, request: Callable[[int], Message], *fds: int) -> int | None:
        """Return the fd of the answer, if it has one; raise what it was refused with."""
        if self._channel is None:
            raise _no_supervisor()
        serial = next(self._serials)
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = answer
        try:
            self._channel.send(request(serial), *fds)
            return await answer
        except OSError:
            raise _no_supervisor() from None
        except asyncio.CancelledError:
            _close_untaken(answer)
            raise
        finally:
            self._waiting.pop(serial, None)

    def _hear(self) -> bool:
        """Take one message; return whether there was one."""
        assert self._channel is not None
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return False
        except MessageError as error:
            log.warning("message_refused", reason=str(error))
            return True
        except OSError:
            received = None
        if received is None:
            self._lose()
            return False
        message, fds = received
        try:
            self._take(message, fds)
        finally:
            close_all(fds)
        return True

    def _take(self, message: Message, fds: list[int]) -> None:  # noqa: C901, PLR0912 - one line a kind
        match message:
            case Hold():
                self.holdings.take(message, fds.pop())
                if message.role is Role.HANDOVER_LISTENER:
                    self._accept_successors()
                self._listener.held(message.role, message.index)
            case Release():
                self._listener.released(message.role, message.index)
                self.holdings.release(message.role, message.index)
            case Done():
                self._answer(message.serial, None)
            case File():
                self._answer(message.serial, fds.pop())
            case Refused():
                self._refuse(message)
            case Start():
                self._started = True
                self._listener.started(message)
            case Reload():
                self._listener.reload_wanted(message.text)
            case Processes():
                self._listener.processes_known(message)
            case Told():
                self._listener.told(message)
            case Ask():
                self.tell(Alive(patience_ms=0))
            case Output():
                os.dup2(fds[0], STANDARD_ERROR)
            case Leave():
                self._listener.leave_wanted()

    def _answer(self, serial: int, fd: int | None) -> None:
        answer = self._waiting.get(serial)
        if answer is not None and not answer.done():
            answer.set_result(fd)
        elif fd is not None:
            os.close(fd)

    def _refuse(self, said: Refused) -> None:
        answer = self._waiting.get(said.serial)
        if answer is not None and not answer.done():
            answer.set_exception(error_from(said.exit_code, said.text))

    def _lose(self) -> None:
        """Go on without a supervisor."""
        assert self._channel is not None
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        self._channel = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_no_supervisor())
        log.warning("supervisor_lost")
        self._listener.supervisor_lost()
        if not self._started:
            self._listener.leave_wanted()  # it died before it had given all that is to be kept

    def _accept_successors(self) -> None:
        held = self.holdings.get(Role.HANDOVER_LISTENER)
        assert held is not None
        self._accepting = socket.socket(fileno=os.dup(held.fd))
        self._accepting.setblocking(False)  # noqa: FBT003 - the standard library's way
        asyncio.get_running_loop().add_reader(self._accepting.fileno(), self._accept)

    def _accept(self) -> None:
        """Hand everything to the next supervisor, if it may be that."""
        assert self._accepting is not None
        try:
            connection, _ = self._accepting.accept()
        except OSError:
            return
        if not may_take_over(connection, self._channel):
            connection.close()
            log.warning("handover_refused")
            return
        # A worker that the dead one told of last is to be known to the next: it would make another.
        while self._channel is not None and self._hear():
            pass
        if not self._started:
            connection.close()  # this control ends: it was not given everything
            return
        if self._channel is not None:
            self._lose()
        self._connect(Channel(connection))
        for said, fd in self.holdings:
            self.tell(said, fd)
        self.tell(self._listener.handed_over())
        self._listener.adopted()


def _close_untaken(answer: asyncio.Future[int | None]) -> None:
    """Close the fd of an answer that came as who asked was told to stop."""
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        fd = answer.result()
        if fd is not None:
            os.close(fd)


def _no_supervisor() -> UnavailableError:
    return UnavailableError(
        "the supervisor is gone", fix="natlb run -c FILE, which adopts the rest"
    )
