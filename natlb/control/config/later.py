"""What a configuration may not say yet: keys and values of natlb that this version has not.

They are refused with the words `not in this version`, and never ignored: who writes
`no_backend: hold` must not get something else. To open a key, delete its line here and give it
a field in `shape.py`; a test holds that every key is in exactly one of the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from natlb.control.config.problems import described
from natlb.control.config.tree import Fault, Node, Path

if TYPE_CHECKING:
    from collections.abc import Iterator

Brings = Literal["speed", "studies"]
"""The step of natlb's growth that brings a key: faster drivers, and what is beyond a load balancer
of packets."""

NOT_YET = "not in this version"


@dataclass(frozen=True, slots=True)
class Later:
    """A key, or those of its values that a pattern matches; `*` in a path is any name.

    `takes_holder`: the key stands for all that its mapping could say, so that nothing else is
    asked of the mapping.
    """

    path: str
    brings: Brings
    values: str | None = None
    takes_holder: bool = False


LATER = (
    Later("datapath.driver", "speed", values="xdp"),
    Later("datapath.output", "speed", values="direct"),
    Later("services.*.mode", "studies", values=r"(?!packet$).*"),
    Later("services.*.scale", "studies"),
    Later("services.*.backends.from", "studies", takes_holder=True),
    Later("services.*.backends.*.from", "studies", takes_holder=True),
    Later("services.*.no_backend", "studies", values="hold"),
)


@dataclass(slots=True)
class _Step:
    """A step of all paths at once: what it refuses, and the steps after it."""

    rows: list[Later] = field(default_factory=list)
    after: dict[str, _Step] = field(default_factory=dict)

    def next(self, name: str | int) -> _Step | None:
        """Return the step that a name leads to; a name that is spelled out goes before `*`."""
        return self.after.get(str(name)) or self.after.get("*")


def _steps(rows: tuple[Later, ...]) -> _Step:
    """Return rows as steps, so that a tree is walked once and not once a row."""
    root = _Step()
    for row in rows:
        step = root
        for name in row.path.split("."):
            step = step.after.setdefault(name, _Step())
        step.rows.append(row)
    return root


_STEPS = _steps(LATER)


def is_later(path: Path) -> bool:
    """Return whether a key as a whole is of a later version."""
    step: _Step | None = _STEPS
    for name in path:
        step = None if step is None else step.next(name)
    return step is not None and any(row.values is None for row in step.rows)


def later_keys(path: Path) -> list[str]:
    """Return the keys that a later version knows in the mapping at a path."""
    step: _Step | None = _STEPS
    for name in path:
        step = None if step is None else step.next(name)
    if step is None:
        return []
    rows = ((key, row) for key, after in step.after.items() for row in after.rows)
    return [key for key, row in rows if key != "*" and row.values is None]


def refuse_later(root: Node) -> list[Fault]:
    """Drop what this version has not, and return a fault for each."""
    faults = list(_refuse(root, (), _STEPS))
    root.sweep()
    return faults


def _refuse(holder: Node, path: Path, step: _Step) -> Iterator[Fault]:
    """Drop what is later below a node, and yield what to say of it."""
    for child in holder.children():
        after = step.next(child.name)
        if after is None:
            continue
        here = (*path, child.name)
        row = next((row for row in after.rows if _refuses(row, child)), None)
        if row is None:
            yield from _refuse(child, here, after)
        else:
            yield _fault(here, child, row)
            child.dropped = True
            holder.dropped = holder.dropped or row.takes_holder


def _refuses(row: Later, node: Node) -> bool:
    """Return whether a row is about this value; an empty value is another fault."""
    if row.values is None:
        return True
    if node.value is None:
        return False
    text = str(node.value) if isinstance(node.value, str | int) else ""
    return re.fullmatch(row.values, text, re.DOTALL) is not None


def _fault(path: Path, node: Node, row: Later) -> Fault:
    """Return what to say of a value that a row refuses, at the key if it is the key."""
    if row.values is None:
        return Fault(NOT_YET, path, node.at if node.key_at is None else node.key_at)
    whole = isinstance(node.value, dict | list)
    return Fault(NOT_YET if whole else f"{described(node.value)} is {NOT_YET}", path, node.at)
