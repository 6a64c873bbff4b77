"""`natlb run` in the place of one that lives: asked to step aside, and only if its state is ours.

The old supervisor leaves as if killed, but with its files closed: nobody is ended, nothing is
undone. The new one adopts, as after a death, and puts its own code in the place of the old.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from natlb.control.cleanup import is_running
from natlb.control.code import state_version
from natlb.control.directory import Lock, last_holder, take_lock
from natlb.control.process import hold, processes_with
from natlb.errors import BusyError

if TYPE_CHECKING:
    from pathlib import Path

SECONDS_TO_STEP_ASIDE = 10.0
SECONDS_A_TRY = 0.02


def require_readable_state(directory: Path) -> None:
    """Return where what runs here has state that this version reads, or nothing runs.

    Raises BusyError, before anything living is touched.
    """
    holder, ours = last_holder(directory), state_version()
    if holder is None or holder.state in {"", ours} or not is_running(directory):
        return
    pids = []
    for process in processes_with(holder.token):
        pids.append(str(process.pid))
        process.forget()
    raise BusyError(
        f"natlb {holder.code or '?'} forwards here with state of layout {holder.state}, and this"
        f" version reads layout {ours}: its flows cannot be taken over",
        fix=f"kill {holder.pid} || kill -9 {' '.join(pids)}, which ends its connections;"
        " then natlb cleanup, and natlb run",
    )


def take_lock_from(directory: Path, code: str, state: str) -> Lock:
    """Return the directory's lock; a supervisor that holds it is asked to step aside.

    Raises BusyError where it does not in time.
    """
    deadline = time.monotonic() + SECONDS_TO_STEP_ASIDE
    asked = 0
    while True:
        try:
            return take_lock(directory, code, state)
        except BusyError:
            holder = last_holder(directory)
            if time.monotonic() > deadline or holder is None:
                raise
            if holder.pid != asked:
                asked = holder.pid
                _ask(holder.pid)
        time.sleep(SECONDS_A_TRY)


def _ask(pid: int) -> None:
    process = hold(pid)
    if process is not None:
        process.signal(signal.SIGUSR2)
        process.forget()
