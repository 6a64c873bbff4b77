"""Processes of a lab: started inside a namespace, known by pid and start time, ended for certain.

A pid alone names nobody for long: the kernel gives it out again. A process is therefore remembered
with the start time that /proc shows, and what is in a namespace is found by the namespace itself,
so that a forgotten child of a killed parent is found as well.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natlb.lab.libc import (
    CLONE_NEWNS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
    MS_SLAVE,
    mount,
    unshare,
)
from natlb.netlink import call_inside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of a lab; `role` is natlb, backend or owner, `started` in clock ticks of boot."""

    host: str
    role: str
    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """Return when the process started, in ticks since boot; None if it is gone or a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])  # Linux: proc(5), field 22


def this_process(role: str) -> Process:
    """Return the calling process."""
    started = start_time(os.getpid())
    assert started is not None
    return Process(host="", role=role, pid=os.getpid(), started=started)


def start(netns: str | None, command: Sequence[str], *, stdout: int, stderr: int) -> int:
    """Return the pid of a new process in the namespace, in a session of its own: ^C is not for it.

    Its standard input is empty. A child that ends stays a zombie until `stop` or `wait` asks.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    return call_inside(netns, lambda: _spawn(command, file_actions=actions, setsid=True))


def start_attached(netns: str | None, command: Sequence[str]) -> int:
    """Return the pid of a new process in the namespace that has our terminal and files.

    Its /sys shows the interfaces of the namespace, where the host allows it.
    """

    def begin() -> int:
        with suppress(OSError):
            unshare(CLONE_NEWNS)  # of the thread that begins it: ours stays as it is
            mount("none", "/", "", MS_REC | MS_SLAVE)
            mount("none", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        return _spawn(command)

    return call_inside(netns, begin)


def _spawn(command: Sequence[str], **options: Any) -> int:
    # Python ignores SIGPIPE, and we may have blocked or ignored more: a child begins as usual.
    usual = [signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT]
    return os.posix_spawnp(
        command[0], [*command], os.environ, setsigdef=usual, setsigmask=[], **options
    )


def wait(pid: int) -> int:
    """Return the exit status of a child once it has ended, as a shell would tell it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


def remember(host: str, role: str, pid: int) -> Process:
    """Return what to remember of a process just started; one already dead is never alive."""
    return Process(host=host, role=role, pid=pid, started=start_time(pid) or 0)


def network_of(pid: int) -> int:
    """Return the inode number that is the process's network namespace."""
    return (PROC / str(pid) / "ns/net").stat().st_ino


def inhabitants(netns_inodes: Collection[int]) -> list[int]:
    """Return the pids of all processes whose network namespace is one of these."""
    wanted = {f"net:[{inode}]" for inode in netns_inodes}
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # gone, or not ours to look at
                if str((entry / "ns/net").readlink()) in wanted:
                    found.append(int(entry.name))
    return found


def ended(pid: int, seconds: float) -> bool:
    """Return whether the process has ended, after waiting for it for so long at most."""
    with _watched([pid]) as fds:
        return not _wait(fds, seconds)


def stop(pids: Collection[int], *, grace: float) -> None:
    """End the processes: SIGTERM, and SIGKILL for those that are there `grace` seconds later."""
    with _watched(pids) as fds:
        _signal(fds, signal.SIGTERM)
        left = _wait(fds, grace)
        _signal(left, signal.SIGKILL)
        _wait(left, 5.0)  # the kernel's time to tear a killed process down
    for pid in pids:
        with suppress(ChildProcessError):  # not a child of ours: its parent's to collect
            os.waitpid(pid, os.WNOHANG)


@contextmanager
def _watched(pids: Collection[int]) -> Iterator[list[int]]:
    """Give a pidfd for each process that is there; a pidfd never names another one."""
    fds = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                fds.append(os.pidfd_open(pid))
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _signal(fds: Collection[int], number: signal.Signals) -> None:
    for fd in fds:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)


def _wait(fds: Collection[int], seconds: float) -> list[int]:
    """Return the pidfds of the processes that still run after so many seconds, at most."""
    poll = select.poll()
    left = set(fds)
    for fd in left:
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while left and (rest := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            poll.unregister(fd)
            left.discard(fd)
    return list(left)
