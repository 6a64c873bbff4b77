"""A configuration as read, before anything is known about its keys: values and their places.

YAML, TOML, JSON and Python mappings all become this tree, so that the rest asks neither which
it was nor where a value stood: a `Fault` names a path, and the tree knows the offset.

Laws
    A tree is at most MAX_DEPTH deep and MAX_VALUES large, aliases counted as often as they are
    used. What is dropped from a list leaves the `name` (the index as written) of the others alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Path = tuple[str | int, ...]

MAX_DEPTH = 32
"""The deepest key of all has six levels; what is deeper is no configuration."""
MAX_VALUES = 400_000
"""65,535 backends of three values and 4,096 services of thirty, and some room."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value; `at` is the offset in the text, `path` the way to the value.

    `says_where`: the message names the place in words, so that line and column are enough.
    """

    message: str
    path: Path = ()
    at: int | None = None
    suggestion: str | None = None
    says_where: bool = False


class FatalFaultError(Exception):
    """Reading stopped here: nothing after it can be told apart from its consequences."""

    def __init__(self, message: str, at: int | None = None, suggestion: str | None = None) -> None:
        """Carry the one fault."""
        super().__init__(message)
        self.fault = Fault(message, (), at, suggestion)


@dataclass(slots=True, eq=False)
class Node:
    """A value with its place: `at` where it begins, `key_at` where its key does.

    A mapping's value is a dict of nodes, a sequence's a list of nodes, and any other value is
    itself. Both offsets are None for what was not read from a text. A node that is `dropped`
    goes at the next `sweep`; its holder remembers that by the name in `missed`.
    """

    name: str | int
    value: object
    at: int | None = None
    key_at: int | None = None
    dropped: bool = False
    missed: frozenset[str | int] = frozenset()

    def child(self, step: str | int) -> Node | None:
        """Return the value under a key, or at a position of a list as it is now."""
        if isinstance(self.value, dict):
            found = self.value.get(step)
            return found if isinstance(found, Node) else None
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            item: Node = self.value[step]
            return item
        return None

    def children(self) -> list[Node]:
        """Return the values of a mapping or a list, none for anything else."""
        if isinstance(self.value, dict):
            return list(self.value.values())
        return list(self.value) if isinstance(self.value, list) else []

    def sweep(self) -> None:
        """Forget what was dropped, here and below."""
        children = self.children()
        self.missed |= {node.name for node in children if node.dropped}
        if isinstance(self.value, dict):
            self.value = {key: node for key, node in self.value.items() if not node.dropped}
        elif isinstance(self.value, list):
            self.value = [node for node in self.value if not node.dropped]
        for node in self.children():
            node.sweep()

    def plain(self) -> object:
        """Return the value without places, as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def follow(root: Node, path: Path) -> list[Node]:
    """Return the nodes along a path, root first; a step that leads nowhere is passed over.

    That is how the path of a value written short (`listen: tcp://...` for a list of one) still
    leads to the place where it was written.
    """
    nodes = [root]
    for step in path:
        child = nodes[-1].child(step)
        if child is not None:
            nodes.append(child)
    return nodes


def fault_at(root: Node, path: Path, message: str, suggestion: str | None = None) -> Fault:
    """Return a fault at the value that a path leads to."""
    nodes = follow(root, path)
    return Fault(message, tuple(node.name for node in nodes[1:]), nodes[-1].at, suggestion)


def fault_at_key(root: Node, path: Path, message: str, suggestion: str | None = None) -> Fault:
    """Return a fault at the key of the value that a path leads to; its message says where."""
    nodes = follow(root, path)
    last = nodes[-1]
    at = last.at if last.key_at is None else last.key_at
    return Fault(message, tuple(node.name for node in nodes[1:]), at, suggestion, says_where=True)


class Growth:
    """Counts the values of a tree that is being built, and stops it at the limits."""

    def __init__(self) -> None:
        """Start with an empty tree."""
        self._values = 0

    def add(self, depth: int, at: int | None) -> None:
        """Count one value more."""
        self._values += 1
        if depth > MAX_DEPTH:
            raise FatalFaultError(f"nested more than {MAX_DEPTH} levels deep", at)
        if self._values > MAX_VALUES:
            raise FatalFaultError(f"more than {MAX_VALUES} values, aliases included", at)


def copy_node(node: Node, name: str | int, key_at: int | None, growth: Growth, depth: int) -> Node:
    """Return a node of its own with the places of another: what an alias stands for."""
    growth.add(depth, node.at)
    value = node.value
    if isinstance(value, dict):
        value = {
            key: copy_node(child, key, child.key_at, growth, depth + 1)
            for key, child in value.items()
        }
    elif isinstance(value, list):
        value = [copy_node(child, child.name, child.key_at, growth, depth + 1) for child in value]
    return Node(name, value, node.at, key_at)


def tree_of(value: object) -> Node:
    """Return plain data as a tree without places; `Mapping`s, lists and tuples are looked into."""
    return _node_of(value, "", Growth(), 0)


def _node_of(value: object, name: str | int, growth: Growth, depth: int) -> Node:
    """Return one value of plain data; a structure that holds itself runs into the limits."""
    growth.add(depth, None)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise FatalFaultError(f"a key must be text, not {key!r:.60}")
        return Node(name, {k: _node_of(v, k, growth, depth + 1) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return Node(name, [_node_of(v, i, growth, depth + 1) for i, v in enumerate(value)])
    return Node(name, value)
