"""A child as its supervisor sees it: a process to watch and a conversation to keep up.

A child that does not read its messages hangs, and is ended: its place is taken by another.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import structlog

from natlb.control.channel import Channel, ChannelFullError
from natlb.control.coding import MessageError
from natlb.control.directory import INSTANCE_VARIABLE
from natlb.control.messages import Leave, Message
from natlb.control.process import Process, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.loop import Loop

    Receiver = Callable[["Child", Message, list[int]], None]
    Mourner = Callable[["Child", int | None], None]

log = structlog.get_logger()


class Child:
    """A control or worker process that this supervisor started or adopted."""

    def __init__(
        self,
        loop: Loop,
        process: Process,
        channel: Channel,
        *,
        receiver: Receiver,
        mourner: Mourner,
    ) -> None:
        """Watch the process; `receiver` gets its messages, `mourner` its exit status."""
        self.process = process
        self.channel = channel
        self._refused = 0
        self._loop = loop
        self._receiver = receiver
        self._mourner = mourner
        loop.watch(process.pidfd, self._ended)
        loop.watch(channel.fileno(), self._receive_one)

    @classmethod
    def start(
        cls,
        loop: Loop,
        module: str,
        environment: dict[str, str],
        *,
        receiver: Receiver,
        mourner: Mourner,
    ) -> Child:
        """Return a new child that runs this module."""
        process, channel = start(module, environment)
        return cls(loop, process, channel, receiver=receiver, mourner=mourner)

    @property
    def pid(self) -> int:
        """The child's process."""
        return self.process.pid

    def send(self, message: Message, *fds: int) -> None:
        """Say this to the child; one that is gone hears nothing, one that hangs is ended."""
        try:
            self.channel.send(message, *fds)
        except ChannelFullError:
            log.warning("child_hung", pid=self.pid, action="kill")
            self.kill()
        except OSError:
            return  # it is gone, and the pidfd says so next

    def hand_to(self, receiver: Receiver, mourner: Mourner) -> None:
        """Have others hear it, and of its end, from now on."""
        self._receiver, self._mourner = receiver, mourner

    def kill(self) -> None:
        """End the child at once."""
        self.process.signal(signal.SIGKILL)

    def leave(self) -> None:
        """Ask the child to end."""
        self.send(Leave())

    def await_end(self, seconds: float) -> None:
        """Wait so long for the child's end, then enforce it; nothing is called for it."""
        if not self.process.ended(seconds):
            self.kill()
            self.process.ended(seconds)
        self._forget()
        self.process.reap()

    def _receive_one(self) -> bool:
        """Take one message; return whether there was one."""
        try:
            received = self.channel.receive()
        except BlockingIOError:
            return False
        except MessageError as error:
            self.refuse(str(error))
            return True
        except OSError:
            received = None
        if received is None:
            self._loop.ignore(self.channel.fileno())
            return False
        self._receiver(self, *received)
        return True

    def refuse(self, reason: str) -> None:
        """Report a message that was not taken: the 1st, 2nd, 4th, 8th … of a child."""
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            log.warning("message_refused", pid=self.pid, reason=reason, count=self._refused)

    def _ended(self) -> None:
        """Hear its last words, then tell of its end."""
        self._loop.ignore(self.process.pidfd)
        while self._receive_one():
            pass
        self._forget()
        self._mourner(self, self.process.reap())

    def _forget(self) -> None:
        self._loop.ignore(self.process.pidfd)
        self._loop.ignore(self.channel.fileno())
        self.channel.close()


def environment_of(token: str, *, interpreted: bool = False) -> dict[str, str]:
    """Return what a child of the instance with this token has in its environment besides ours.

    One thread for OpenBLAS, which would start one a processor with NumPy: nobody multiplies
    matrices here, and a process that forks is better off without threads.
    """
    words = {INSTANCE_VARIABLE: token, "OPENBLAS_NUM_THREADS": "1"}
    return words | ({"NATLB_JIT": "0"} if interpreted else {})
