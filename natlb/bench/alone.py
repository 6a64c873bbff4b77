"""One run at a time on a machine, bounded in time: two at once would measure each other."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = Path(__file__).parent  # whoever runs natlb can open it; nothing is written there
LOCKS = Path("/proc/locks")


class TimeIsUpError(BaseException):
    """The run takes too long; no part of it may take this for a failure of its own."""


@contextmanager
def alone(place: Path = PLACE) -> Iterator[None]:
    """Keep other runs of this natlb away meanwhile; BusyError while there is one."""
    here = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(here, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        pid = holder(LOCKS.read_text(), os.fstat(here).st_ino)
        whose = f", pid {pid}" if pid else ""
        raise BusyError(f"another run measures already{whose}", fix="wait for its end") from error
    finally:
        os.close(here)


def holder(locks: str, inode: int) -> int | None:
    """Return the pid in /proc/locks that has a lock on an inode, where it can be seen."""
    for line in locks.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4]) or None
    return None


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeIsUpError in the block once it has taken so long."""

    def give_up(*_: object) -> None:
        raise TimeIsUpError(f"not done after {seconds / 60:.0f} minutes")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
