"""The keeper: holds what the others need, and hands it over where none of them can.

    python -m natlb.control.keeper FD

FD is its end of the conversation with the supervisor. It has a duplicate of every fd that must not
die with a process, and does nothing else: no packet, no request, no file reaches it. A supervisor
that succeeds a dead one asks control first; where that is dead as well, or hangs, the keeper
answers in the same words at a socket of its own. So any two processes may die at once, and three of
the four that hold the flow table.

Why not control's memory alone, or /proc/PID/fd of a worker: a worker reads what strangers send, and
is not given the registry or the API's socket; whoever takes fds out of a process needs the right to
trace it, which a service without root does not have.
"""

from __future__ import annotations

import dataclasses
import os
import select
import socket
import sys

from natlb.control import privileges
from natlb.control.channel import Channel, close_all
from natlb.control.coding import MessageError, decode
from natlb.control.handover import may_take_over
from natlb.control.holdings import Holdings
from natlb.control.memory import read_sealed
from natlb.control.messages import (
    Alive,
    Ask,
    HandedOver,
    Hold,
    Leave,
    Release,
)
from natlb.control.roles import Role


class Keeper:
    """What is kept, and the two who may speak to it: a supervisor, and the next one."""

    def __init__(self, supervisor: Channel) -> None:
        """Keep nothing yet."""
        self.holdings = Holdings()
        self._supervisor: Channel | None = supervisor
        self._listening: socket.socket | None = None

    def run(self) -> None:
        """Keep until told to leave; one that nobody can reach any more does not stay."""
        try:
            self._keep()
        finally:
            self.holdings.close()
            for end in (self._supervisor, self._listening):
                if end is not None:
                    end.close()

    def _keep(self) -> None:
        while self._supervisor is not None or self._listening is not None:
            ends = [end for end in (self._supervisor, self._listening) if end is not None]
            poll = select.poll()  # select() knows 1,024 fds, and the keeper may hold as many
            for end in ends:
                poll.register(end.fileno(), select.POLLIN)
            ready = {fd for fd, _ in poll.poll()}
            # What a dead supervisor said last comes before whoever asks next.
            if self._supervisor is None or self._supervisor.fileno() not in ready:
                self._hand_over()
            elif not self._hear():
                return

    def _hear(self) -> bool:
        """Do what the supervisor says; return whether there is a reason to stay."""
        assert self._supervisor is not None
        try:
            received = self._supervisor.receive()
        except (BlockingIOError, MessageError):
            return True
        except OSError:
            received = None
        if received is None:
            self._supervisor.close()
            self._supervisor = None
            return (
                Role.STANDING,
                0,
            ) in self.holdings  # else a successor begins anew: nobody will ask
        message, fds = received
        match message:
            case Hold(role=Role.HANDOVER_LISTENER):
                self._listening = socket.socket(fileno=fds.pop())
                self._listening.setblocking(False)  # noqa: FBT003 - the standard library's way
            case Hold():
                self.holdings.take(message, fds.pop())
            case Release():
                self.holdings.release(message.role, message.index)
            case Ask():
                self._say(Alive(patience_ms=0))
        close_all(fds)
        return not isinstance(message, Leave)

    def _hand_over(self) -> None:
        """Give everything to whoever connected, if it may supervise, and there is something."""
        assert self._listening is not None
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        standing = self.holdings.get(Role.STANDING)
        if standing is None or not may_take_over(connection, self._supervisor):
            connection.close()
            return
        if self._supervisor is not None:
            self._supervisor.close()
        self._supervisor = Channel(connection)
        for said, fd in self.holdings:
            self._say(said, fd)
        known = decode(read_sealed(standing.fd), 0)
        assert isinstance(known, HandedOver)
        self._say(dataclasses.replace(known, pid=os.getpid()))

    def _say(self, message: Hold | HandedOver | Alive, *fds: int) -> None:
        assert self._supervisor is not None
        try:
            self._supervisor.send(message, *fds)
        except OSError:
            return  # it is gone: the next one asks again


def main(supervisor: Channel) -> int:
    """Be the keeper until nobody needs it; return the exit code."""
    privileges.drop_capabilities_keep_uid()
    Keeper(supervisor).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Channel.from_fd(int(sys.argv[1]))))
