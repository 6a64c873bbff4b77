"""A service manager as far as natlb speaks with one: a notify socket, and a store of fds.

It keeps what is stored under its name, once for each open file, as systemd does, and passes it to
whom it starts next as fds from 3 on.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_FDS = 8
START = (
    "import os, sys\n"
    "os.environ['LISTEN_PID'] = os.environ['WATCHDOG_PID'] = str(os.getpid())\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class ServiceManager:
    """Hears and stores while `hear` is called."""

    def __init__(self, path: Path | str) -> None:
        """Listen at this path, or at an abstract name that begins with `@`."""
        self.address = str(path)
        self.said: list[str] = []
        self.store: dict[str, int] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.address[1:]}" if self.address[0] == "@" else self.address)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of everything."""
        self._socket.close()
        for fd in self.store.values():
            os.close(fd)
        self.store.clear()

    def hear(self) -> Self:
        """Take all that was said until now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                words, fds, _, _ = socket.recv_fds(self._socket, 65536, MOST_FDS)
                self._take(words.decode().split("\n"), fds)
        return self

    def wait_for(self, what: Callable[[Self], object], seconds: float = 60.0) -> None:
        """Hear until this is true of the manager."""
        deadline = time.monotonic() + seconds
        while not what(self.hear()):
            assert time.monotonic() < deadline, self.said[-20:]
            select.select([self._socket], [], [], 0.05)

    def _take(self, lines: list[str], fds: list[int]) -> None:
        values = dict(line.partition("=")[::2] for line in lines)
        name = values.get("FDNAME", "")
        if "FDSTORE" in values:
            assert len(name) <= 255
            assert ":" not in name
            assert values["FDPOLL"] == "0"
            for fd in fds:
                self._keep(name, fd)
        elif "FDSTOREREMOVE" in values:
            if name in self.store:
                os.close(self.store.pop(name))
        else:
            assert not fds
            self.said += lines

    def _keep(self, name: str, fd: int) -> None:
        if any(is_same_file(fd, kept) for kept in self.store.values()):
            os.close(fd)  # as systemd does
        else:
            assert name not in self.store
            self.store[name] = fd

    def environment(self, watchdog_seconds: float = 0.0) -> dict[str, str]:
        """Return what a service finds in its environment; the pids come with `command`."""
        words = {"NOTIFY_SOCKET": self.address}
        if watchdog_seconds:
            words["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1e6))
        if self.store:
            words |= {"LISTEN_FDS": str(len(self.store)), "LISTEN_FDNAMES": ":".join(self.store)}
        return words

    def command(self, command: list[str]) -> list[str]:
        """Return the command that runs this with LISTEN_PID and WATCHDOG_PID of its own."""
        return [sys.executable, "-S", "-c", START, *command]

    def pass_fds(self) -> Callable[[], None]:
        """Return what a child does before it runs the command: have what is stored from 3 on."""
        fds = list(self.store.values())

        def place() -> None:
            # Moved up first: no fd that is still to be placed is overwritten.
            moved = [os.dup2(fd, 400 + number) for number, fd in enumerate(fds)]
            for number, fd in enumerate(moved):
                os.dup2(fd, 3 + number)
                os.close(fd)

        return place

    def start(
        self,
        command: list[str],
        environment: dict[str, str],
        watchdog_seconds: float = 1.0,
        **words: object,
    ) -> subprocess.Popen[bytes]:
        """Start a service; the rest is for Popen."""
        return subprocess.Popen(  # type: ignore[call-overload]
            self.command(command),
            env=environment | self.environment(watchdog_seconds),
            close_fds=False,  # ours are not inheritable, and what is placed is
            preexec_fn=self.pass_fds(),  # noqa: PLW1509 - nothing but dup2 is called there
            **words,
        )


def is_same_file(one: int, other: int) -> bool:
    """Return whether two fds are one open file, as kcmp(2) compares them."""
    here = os.getpid()
    return libc_kcmp(here, here, one, other) == 0


def libc_kcmp(pid: int, other_pid: int, fd: int, other_fd: int) -> int:
    """Compare two fds: 0 where they are one open file."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 312, "aarch64": 272}[os.uname().machine]  # Linux: unistd.h
    kcmp_file = 0
    return int(
        libc.syscall(
            number, pid, other_pid, kcmp_file, ctypes.c_ulong(fd), ctypes.c_ulong(other_fd)
        )
    )
