"""What a service manager is told: datagrams to its socket, by the protocol of sd_notify(3).

The supervisor alone speaks. Its children get none of the variables: a manager that believes the
main process only would refuse them, and one that believes all could be told anything by a worker.
Where no manager asked to be told, nothing is said.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

SECONDS_TO_SAY = 0.25  # a manager that reloads itself reads nothing for a moment
SECONDS_DEAF = 1.0  # so long it is not tried again: a supervisor has other things to do
LONGEST_STATUS = 200


class Notifier:
    """A conversation with the service manager, one way."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        """Speak to this socket; a name that begins with `@` is an abstract one. Empty: nobody."""
        self.watchdog_seconds = watchdog_seconds if address else 0.0
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = ""
        self._is_reloading = False
        self._deaf_until = 0.0
        self._unheard: list[str] = []
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(SECONDS_TO_SAY)

    @classmethod
    def take_from(cls, environment: MutableMapping[str, str]) -> Notifier:
        """Return whom the environment names, and take it out of there."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", str(os.getpid()))
        is_ours = watched == str(os.getpid()) and microseconds.isdecimal()
        return cls(address, int(microseconds) / 1e6 if is_ours else 0.0)

    @property
    def is_heard(self) -> bool:
        """Whether there is anybody to speak to."""
        return self._socket is not None

    def ready(self) -> None:
        """Say that packets are forwarded; or again so, after a reload."""
        self._is_reloading = False
        self._insist(f"READY=1\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        """Say that the configuration is being read; `reloaded` follows."""
        self._is_reloading = True
        self._insist(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Say that a reload is over, if one is under way, however it ended."""
        if self._is_reloading:
            self.ready()

    def stopping(self) -> None:
        """Say that the end begins."""
        self._insist("STOPPING=1")

    def alive(self) -> None:
        """Say that the supervisor turns its loop."""
        self.say("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say in a few words how it is, where that is news."""
        line = "".join(each if each.isprintable() else " " for each in text)[:LONGEST_STATUS]
        if line != self._status and self.say(f"STATUS={line}"):
            self._status = line

    def _insist(self, words: str) -> None:
        if self.is_heard:
            self._unheard.append(words)
            self.repeat()

    def repeat(self) -> None:
        """Say again what matters and was not taken; its order stays."""
        while self._unheard and self.say(self._unheard[0]):
            del self._unheard[0]

    def say(self, words: str, *fds: int) -> bool:
        """Send these lines, and return whether they were taken."""
        if self._socket is None or time.monotonic() < self._deaf_until:
            return False
        try:
            self._socket.sendmsg([words.encode()], _with(fds), 0, self._address)
        except OSError:
            self._deaf_until = time.monotonic() + SECONDS_DEAF
            return False
        return True

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def _with(fds: tuple[int, ...]) -> list[tuple[int, int, bytes]]:
    """Return fds as a datagram carries them; `socket.send_fds` sends to no address."""
    octets = struct.pack(f"{len(fds)}i", *fds)
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, octets)] if fds else []
