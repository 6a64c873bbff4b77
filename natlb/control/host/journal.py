"""The journal of what to undo: written before each change, read after a crash.

One JSON object a line, on disk before the change that it speaks of is made:

    {"do": OPERATION, "before": …}    about to be done; `before` is what its undoing needs
    {"undone": OPERATION}             taken back again

A crash may leave the last line torn, and the change of the last whole line undone or done: the
reader drops the one, and undoing an operation that was never done is no error.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natlb.control.host.make_tun import MakeTun
from natlb.control.host.operation import (
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    Operation,
    SetSysctl,
)
from natlb.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.control.host.operation import Before

KINDS: dict[str, type[Operation]] = {
    each.kind: each for each in (AddProxy, AddRoute, AddRule, ForwardAll, MakeTun, SetSysctl)
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation that was done, or was about to be."""

    operation: Operation
    before: Before


class Journal:
    """The journal in one file, which is there while there is something to undo."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist, its directory must."""
        self.path = path

    def about_to_do(self, operation: Operation, before: Before) -> None:
        """Write down that this will be done, and how it is undone."""
        self._append({"do": operation.record(), "before": before})

    def undone(self, operation: Operation) -> None:
        """Write down that this is undone."""
        self._append({"undone": operation.record()})

    def entries(self) -> list[Entry]:
        """Return what is done and not undone, in the order it was done."""
        found: list[Entry] = []
        for line in self._lines():
            if "do" in line:
                found.append(Entry(self._operation(line["do"]), line["before"]))
                continue
            undone = self._operation(line["undone"])
            last = [at for at, entry in enumerate(found) if entry.operation == undone][-1:]
            for at in last:
                del found[at]
        return found

    def clear(self) -> None:
        """Remove the file: there is nothing left to undo."""
        self.path.unlink(missing_ok=True)

    def _append(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            whole = os.pread(fd, os.fstat(fd).st_size, 0).rfind(b"\n") + 1
            os.ftruncate(fd, whole)  # a torn line must not become the start of this one
            os.pwrite(fd, text.encode(), whole)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        *whole, _torn = self.path.read_text().split("\n")
        try:
            return [json.loads(line) for line in whole]
        except ValueError as error:
            raise self._unreadable(error) from error

    def _operation(self, record: dict[str, Any]) -> Operation:
        try:
            fields = dict(record)
            return KINDS[fields.pop("kind")](**fields)
        except (KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, why: Exception) -> HostError:
        return HostError(
            f"the undo journal {self.path} cannot be read: {why!r}",
            fix=f"look at the host's rules and routes of protocol 78, then: rm {self.path}",
        )
