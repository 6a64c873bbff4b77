"""What a crash left in this network namespace, taken back; never from under what forwards.

supervisor lives                    busy: it holds the lock
it is dead, control or keeper lives busy: packets are forwarded, and `natlb run` takes that over
all are dead                        workers end, the host is put back, the directory goes
"""

from __future__ import annotations

from pathlib import Path

from natlb.control import privileges
from natlb.control.directory import Lock, own_directory, take_lock
from natlb.control.process import kill_all_with
from natlb.errors import BusyError, DeniedError

SOCKETS = Path("/proc/net/unix")
FLAGS_FIELD, PATH_FIELD = 3, 7
LISTENS = 1 << 16  # Linux: net.h, __SO_ACCEPTCON
CAP_NET_ADMIN = 12  # Linux: capability.h


def is_running(directory: Path, sockets: Path = SOCKETS) -> bool:
    """Return whether control or the keeper lives: they would answer at their sockets.

    Looked up, not tried: whoever connects there is taken for a new supervisor.
    """
    answering = {str(directory / "handover"), str(directory / "keeper")}
    rows = (line.split(maxsplit=PATH_FIELD) for line in sockets.read_text().splitlines()[1:])
    return any(
        len(row) > PATH_FIELD
        and row[PATH_FIELD] in answering
        and int(row[FLAGS_FIELD], 16) & LISTENS
        for row in rows
    )


def cleanup(directory: Path | None = None, effective: int | None = None) -> list[str]:
    """Undo what a crash left in this namespace, and return it in words; nothing where all is well.

    Raises BusyError while natlb forwards here, with a supervisor or without.
    """
    held = privileges.effective_capabilities() if effective is None else effective
    if not held >> CAP_NET_ADMIN & 1:
        fix = "sudo natlb cleanup"
        raise DeniedError("need CAP_NET_ADMIN to put the host's network back", fix=fix)
    lock = take_lock(directory or own_directory())
    try:
        words = _take_back(lock)
        lock.remove()
    finally:
        lock.release()
    return words


def _take_back(lock: Lock) -> list[str]:
    from natlb.control import host  # noqa: PLC0415 - pyroute2 is not needed to say that it is busy

    if is_running(lock.directory):
        raise BusyError(
            "natlb forwards in this network namespace, its supervisor is dead",
            fix="natlb run -c FILE, which takes it over",
        )
    ended = kill_all_with(lock.token) if lock.previous else []
    undone = host.cleanup(host.Journal(lock.journal))
    return [*(f"process {pid}" for pid in ended), *undone]
