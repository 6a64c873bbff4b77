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

from natlb.control.host.blackhole import AddBlackhole
from natlb.control.host.make_tun import AddIpv6, MakeTun
from natlb.control.host.operation import (
    PROTOCOL,
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    MoveLocal,
    Operation,
    SetSysctl,
)
from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from natlb.control.host.operation import Before

KINDS: dict[str, type[Operation]] = {
    each.kind: each
    for each in (
        *(AddBlackhole, AddIpv6, AddProxy, AddRoute, AddRule),
        *(ForwardAll, MakeTun, MoveLocal, SetSysctl),
    )
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
        """Return what is done and not undone, in the order it was done.

        HostError where the file makes no sense: guessing what to undo would be worse.
        """
        if not self.path.exists():
            return []
        *whole, _torn = self.path.read_text().split("\n")
        try:
            return _replay(json.loads(line) for line in whole)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HostError(
                f"the undo journal {self.path} cannot be read: {error!r}",
                fix=f"put back by hand what `ip rule` shows of protocol {PROTOCOL}; rm {self.path}",
            ) from error

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


def _replay(lines: Iterable[dict[str, Any]]) -> list[Entry]:
    found: list[Entry] = []
    for line in lines:
        if "do" in line:
            found.append(Entry(_operation(line["do"]), line["before"]))
            continue
        undone = _operation(line["undone"])
        equal = [at for at, entry in enumerate(found) if entry.operation == undone]
        if equal:
            del found[equal[-1]]
    return found


def _operation(record: dict[str, Any]) -> Operation:
    fields = dict(record)
    return KINDS[fields.pop("kind")](**fields)
