"""Cleans up behind a run that is killed: a process of its own that waits for the run's end.

    python -m natlb.bench.warden PID

A run removes what it made, whatever ends it, but SIGKILL. Then this does: every lab whose owner
has died goes, with all that was started in it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from natlb.lab.lifecycle import remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def watched() -> Iterator[int]:
    """Have a warden watch this process for the length of the block; give its pid."""
    command = [sys.executable, "-m", "natlb.bench.warden", str(os.getpid())]
    files = [
        (os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)
    ]  # it may outlive this process, and must keep no pipe of ours open
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def wait_for_end(pid: int) -> None:
    """Return once the process that started this one has ended."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            if os.getppid() == pid:  # else it has ended already, and the number may be another's
                select.select([fd], [], [])
        finally:
            os.close(fd)


def main() -> None:
    """Wait, then remove what is nobody's."""
    wait_for_end(int(sys.argv[1]))
    remove_abandoned(lambda _: None)


if __name__ == "__main__":
    main()
