"""What is remembered of a lab: a JSON file under /run/natlb/lab/NAME, written before the deed.

The record of a lab names its namespaces before any of them exists, so that `down` finds all of
them after a crash at any moment. A lab whose record does not say `up` was left half-made.
Making and removing are done under a lock on the lab's directory, which goes with the lab.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from natlb.errors import UnknownNameError, UsageError
from natlb.lab.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

LABS = Path("/run/natlb/lab")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")

State = Literal["making", "up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A lab: `namespaces` by host, `socket` that of the natlb in it (None: it runs without one).

    `driver` is what natlb was told to receive by; `auto` leaves it the topology's, or natlb's.
    """

    name: str
    topology: str
    state: State
    client: str
    balancer: str
    namespaces: dict[str, str]
    processes: tuple[Process, ...] = ()
    socket: str | None = None
    driver: str = "auto"

    @property
    def directory(self) -> Path:
        """Where the lab's files lie: record, configuration, logs, the state natlb keeps."""
        return LABS / self.name

    @property
    def configuration(self) -> Path:
        """The configuration natlb runs with in this lab."""
        return self.directory / "natlb.yaml"

    def log(self, host: str) -> Path:
        """Return what the lab's process in that host writes to."""
        return self.directory / f"{host}.log"

    def netns(self, host: str) -> str:
        """Return the namespace of a host; UnknownNameError if there is no such host."""
        if host not in self.namespaces:
            known = ", ".join(self.namespaces)
            raise UnknownNameError(f"no host {host!r} in lab {self.name!r}; there are {known}")
        return self.namespaces[host]

    @property
    def owner(self) -> Process | None:
        """The process that keeps the lab for itself, as a demo does; None: anybody's."""
        return next((each for each in self.processes if each.role == "owner"), None)

    def process(self, role: str, host: str) -> Process | None:
        """Return the process with that role in that host, if it is alive."""
        found = (each for each in self.processes if (each.role, each.host) == (role, host))
        return next((each for each in found if each.alive), None)

    def with_process(self, process: Process) -> Lab:
        """Return the lab with this process in the place of the one that had its role and host."""
        role = (process.role, process.host)
        kept = (each for each in self.processes if (each.role, each.host) != role)
        return replace(self, processes=(*kept, process))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab in one line; `broken`: some of it is gone, `natlb` is a pid."""

    name: str
    topology: str
    state: Literal["making", "up", "broken"]
    natlb: int | None
    backends: int
    namespaces: list[str]
    socket: str | None


def check_name(name: str) -> None:
    """Raise UsageError unless namespaces and files can be called by this name."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no lab name: letters, digits, '-' and '_', 32 at most")


def names() -> list[str]:
    """Return the names of all labs, half-made ones too, sorted."""
    return sorted(path.parent.name for path in LABS.glob("*/lab.json"))


def find(name: str) -> Lab:
    """Return the lab of that name; UnknownNameError if there is none."""
    lab = load(name)
    if lab is None:
        known = ", ".join(names()) or "none"
        raise UnknownNameError(f"no lab {name!r}; there are: {known}", fix=f"natlb lab up {name}")
    return lab


def load(name: str) -> Lab | None:
    """Return what is remembered of a lab; None if there is nothing."""
    check_name(name)
    try:
        held: dict[str, Any] = json.loads((LABS / name / "lab.json").read_bytes())
    except FileNotFoundError:
        return None
    processes = tuple(Process(**each) for each in held.pop("processes"))
    return Lab(**held, processes=processes)


def save(lab: Lab) -> Lab:
    """Write the record, whole or not at all; return the lab."""
    path = lab.directory / "lab.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(lab), indent=1))
    new.replace(path)
    return lab


def forget(lab: Lab) -> None:
    """Remove the record and all other files of the lab, and the directory above if it was last."""
    shutil.rmtree(lab.directory, ignore_errors=True)
    _remove_empty(LABS, LABS.parent)


def _remove_empty(*directories: Path) -> None:
    for directory in directories:
        with suppress(OSError):  # not empty: there are other labs, or other natlbs
            directory.rmdir()


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lab of that name for the length of the block; waits for who holds it now.

    The lock is on the lab's directory, made here if it is not there. It may be removed while we
    wait for it: then what we locked has no name any more and the new one is tried.
    """
    check_name(name)
    path = LABS / name
    fd = _lock(path)
    try:
        yield
    finally:
        if _is_at(fd, path):
            _remove_empty(path, LABS, LABS.parent)
        os.close(fd)


def _lock(path: Path) -> int:
    while True:
        with suppress(FileNotFoundError):  # removed by the one before us: once more
            with suppress(FileExistsError):  # `exist_ok` asks again, when it may be gone by then
                path.mkdir(mode=0o755, parents=True)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(fd, path):
                return fd
            os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
