"""A worker: forwards what it is given, by the tables it is given.

`Attach` after a number of `Hold`s gives it queues and memory. Tables come over a second
conversation, with control. Both may end without the worker's: it goes on forwarding by what it has.

Waiting happens in compiled code, on the queues and on one more fd: an epoll of the conversations,
readable when somebody has something to say.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Protocol

from natlb.control.channel import Channel, close_all
from natlb.control.coding import MessageError
from natlb.control.holdings import Holdings
from natlb.control.messages import (
    Alive,
    Ask,
    Attach,
    Hold,
    Leave,
    Message,
    Output,
    QueueLost,
    Reading,
)
from natlb.control.queues import SIDES, is_lost, ports_of
from natlb.control.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from natlb.core.choice import Pick
    from natlb.io.ports import Port


class PacketPath(Protocol):
    """The compiled loop, as this process drives it."""

    compiled: bool

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Load the code; `progress` is told where it takes over a second. May raise NatlbError."""

    def choose_by(self, pick: Pick) -> None:
        """Choose backends by this from the next `run` on."""

    def attach(
        self,
        *,
        index: int,
        ports: Sequence[Port],
        flows: int,
        counters: int,
        commands: int,
        events: int,
        loads: int,
    ) -> None:
        """Forward between these ports with this memory; called again when one of them is new.

        The fds stay open, and the caller's, until the next call.
        """

    def load_next_hops(self, fd: int) -> None:
        """Send by these next hops from the next batch on, where natlb sends by itself."""

    def recover(self) -> None:
        """Bring the memory in order after another worker died over it."""

    def load_tables(self, fd: int) -> int:
        """Forward by these tables from the next batch on, and return their generation."""

    def run(self, wake: int) -> str:
        """Forward until `wake` is readable ("wake") or a queue is gone ("queue-lost").

        Commands in the ring are done on the way in. `wake` itself is not read.
        """


STANDARD_ERROR = 2
PATIENCE_MS = 120_000  # for a table of millions to be recovered, or the largest tables loaded


class LeftAlone(Exception):  # noqa: N818 - an end, not an error
    """Nobody needs this worker any more."""


class Worker:
    """What this process holds, and whom it talks to."""

    def __init__(self, supervisor: Channel, path: PacketPath) -> None:
        """Listen to the supervisor."""
        self._path = path
        self._supervisor = supervisor
        self._control: Channel | None = None
        self._held = Holdings()
        self._arrived: list[tuple[Hold, int]] = []
        self._index = 0
        self._attached = False
        self._generation = 0
        self._wake = select.epoll()
        self._wake.register(supervisor.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Wait for work and do it; raises LeftAlone at the end."""
        while True:
            if not self._attached or self._report_lost_queues():
                self._wake.poll()
            elif self._path.run(self._wake.fileno()) == "queue-lost":
                continue
            self._listen()

    def _report_lost_queues(self) -> bool:
        """Tell the supervisor which devices are gone, and return whether any is.

        Without both there is no way through; their packets wait in the queues that are left.
        """
        lost = [said for said, fd in self._held if said.role in SIDES and is_lost(fd)]
        for said in lost:
            self._say(self._supervisor, QueueLost(role=said.role, index=said.index))
        return bool(lost)

    def _listen(self) -> None:
        for fd, _ in self._wake.poll(0):
            speaker = self._supervisor if fd == self._supervisor.fileno() else self._control
            while speaker is not None and speaker.fileno() == fd and self._hear(speaker):
                pass

    def _hear(self, speaker: Channel) -> bool:
        """Do what the next message says; return whether there was one."""
        try:
            received = speaker.receive()
        except BlockingIOError:
            return False
        except MessageError:
            return True
        except OSError:
            received = None
        if received is None:
            self._lose(speaker)
            return False
        message, fds = received
        try:
            self._obey(speaker, message, fds)
        finally:
            close_all(fds)
        return True

    def _lose(self, speaker: Channel) -> None:
        """Listen to an end of a conversation no longer."""
        self._wake.unregister(speaker.fileno())
        speaker.close()
        if speaker is self._control:
            self._control = None
        elif not self._attached:
            raise LeftAlone

    def _obey(self, speaker: Channel, message: Message, fds: list[int]) -> None:
        """Do what was said; an fd that is kept is taken out of `fds`."""
        match message:
            case Hold(role=Role.TABLES) if self._attached:
                if message.value > self._generation:
                    with self._busy():
                        self._generation = self._path.load_tables(fds[0])
                self._say(speaker, Reading(index=self._index, generation=self._generation))
            case Hold(role=Role.NEXT_HOPS) if speaker is self._supervisor and self._attached:
                self._path.load_next_hops(fds[0])
            case Hold() if speaker is self._supervisor:
                self._keep(message, fds.pop())
            case Attach() if speaker is self._supervisor:
                with self._busy():
                    self._attach(message)
            case Ask() if speaker is self._supervisor:
                self._say(speaker, Alive(patience_ms=0))
            case Output() if speaker is self._supervisor:
                os.dup2(fds[0], STANDARD_ERROR)
            case Leave() if speaker is self._supervisor:
                raise LeftAlone

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """Say that there is work to do which may last, and when it is done.

        The supervisor ends a worker that does not answer; this one cannot, and says so before.
        """
        self._say(self._supervisor, Alive(patience_ms=PATIENCE_MS))
        yield
        self._say(self._supervisor, Alive(patience_ms=0))

    def _keep(self, said: Hold, fd: int) -> None:
        """Keep an fd for the next `Attach`."""
        if said.role is Role.TABLES_CHANNEL:
            if self._control is not None:
                self._lose(self._control)
            self._control = Channel.from_fd(fd)
            self._wake.register(fd, select.EPOLLIN)
        else:
            self._arrived.append((said, fd))

    def _attach(self, said: Attach) -> None:
        """Use what arrived, and close only then what it replaces."""
        replaced = [fd for arrived, _ in self._arrived for fd in self._held.give(arrived)]
        for arrived, fd in self._arrived:
            self._held.take(arrived, fd)
        self._arrived = []
        self._index = said.index
        self._path.attach(
            index=said.index,
            ports=ports_of(self._held),
            flows=self._memory(Role.FLOWS),
            counters=self._memory(Role.COUNTERS),
            commands=self._memory(Role.COMMANDS),
            events=self._memory(Role.EVENTS),
            loads=self._memory(Role.LOADS),
        )
        close_all(replaced)
        if not self._attached:
            self._begin(takeover=bool(said.takeover))
        self._say(self._supervisor, Reading(index=self._index, generation=self._generation))

    def _begin(self, *, takeover: bool) -> None:
        if takeover:
            self._path.recover()
        self._generation = self._path.load_tables(self._memory(Role.TABLES))
        hops = self._held.get(Role.NEXT_HOPS)
        if hops is not None:
            self._path.load_next_hops(hops.fd)
        self._attached = True

    def _memory(self, role: Role) -> int:
        """Return the fd of a role of which a worker has one."""
        return next(fd for said, fd in self._held if said.role is role)

    def _say(self, listener: Channel, message: Message) -> None:
        # Whoever does not listen learns it otherwise; this worker's work is the packets.
        with contextlib.suppress(OSError):
            listener.send(message)
