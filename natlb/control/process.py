"""Processes by pidfd: started, watched, found again, and ended, never confused with another.

A pid alone may be somebody else's by the time it is used: whoever is to be signalled is held by a
pidfd first and looked at second.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.control.channel import Channel
from natlb.control.directory import INSTANCE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
STARTED_FIELD = 19  # proc(5): field 22 of stat, counted from behind the command's parenthesis


@dataclass(slots=True, kw_only=True)
class Process:
    """A process that is held by its pidfd; `child` where this process started it."""

    pid: int
    started: int
    pidfd: int
    child: subprocess.Popen[bytes] | None = None

    def signal(self, number: int) -> None:
        """Send a signal; a process that has ended takes none."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def ended(self, seconds: float = 0) -> bool:
        """Return whether the process has ended, waiting so long for it."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def reap(self) -> int | None:
        """Return the exit status of an ended child as Popen has it; None for one not ours."""
        status = self.child.wait() if self.child else None
        self.forget()
        return status

    def forget(self) -> None:
        """Watch no longer."""
        os.close(self.pidfd)


def started_at(pid: int) -> int:
    """Return when a process started, in ticks since boot; with the pid, its name for ever."""
    text = (PROC / str(pid) / "stat").read_text()
    return int(text.rpartition(")")[2].split()[STARTED_FIELD])


def hold(pid: int, started: int | None = None) -> Process | None:
    """Return the living process of this pid (and this start), None where there is none."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    process = Process(pid=pid, started=0, pidfd=pidfd)
    try:
        process.started = started_at(pid)
    except (OSError, IndexError):
        process.started = -1
    if process.started < 0 or process.ended() or started not in {None, process.started}:
        process.forget()
        return None
    return process


def start(module: str, environment: dict[str, str]) -> tuple[Process, Channel]:
    """Start `python -m module` with a conversation of its own, and return both.

    The child has its own session, so a terminal's Ctrl-C is not for it; it has no fd but the
    standard ones and its end, whose number is its one argument. `environment` is added to ours.
    """
    ours, theirs = Channel.pair()
    token = environment.get(INSTANCE_VARIABLE, "")
    command = [sys.executable, "-m", module, str(theirs.fileno()), token]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    pidfd = os.pidfd_open(child.pid)
    return Process(pid=child.pid, started=started_at(child.pid), pidfd=pidfd, child=child), ours


def processes_with(token: str) -> Iterator[Process]:
    """Yield the living processes of the instance with this token, but this process itself."""
    for entry in PROC.iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        process = hold(int(entry.name))
        if process is None:
            continue
        if belongs_to(process.pid, token) and not process.ended():
            yield process
        else:
            process.forget()


def belongs_to(pid: int, token: str) -> bool:
    """Return whether the process was started for the instance with this token.

    The command line says so to everybody, the environment of another user's process to root alone;
    that is where what an earlier version started has it, and what control started.
    """
    for place, mark in (("cmdline", token), ("environ", f"{INSTANCE_VARIABLE}={token}")):
        with contextlib.suppress(OSError):
            if mark.encode() in (PROC / str(pid) / place).read_bytes().split(b"\0"):
                return True
    return False


def kill_all_with(
    token: str, seconds: float = 5.0, *, spared: frozenset[int] = frozenset()
) -> list[int]:
    """Kill every process of the instance with this token, wait for their ends, return the pids.

    `spared` are left alone.
    """
    killed = []
    for process in processes_with(token):
        if process.pid in spared:
            process.forget()
        else:
            killed.append(process)
    for process in killed:
        process.signal(signal.SIGKILL)
    for process in killed:
        process.ended(seconds)
        process.forget()
    return [process.pid for process in killed]
