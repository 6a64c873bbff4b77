"""A YAML document whose values know their place, so that an error can say `FILE:LINE:COLUMN`.

What comes out of here is a tree of `Node`s. A reader walks it and asks each node for the shape it
needs; a node of another shape raises ConfigError with its place and what was expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from natlb.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

Parsed = TypeVar("Parsed")


def read_document(path: Path) -> Node:
    """Return the root of the YAML file; ConfigError where it cannot be read or is no YAML."""
    try:
        value = YAML(typ="rt", pure=True).load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"cannot read {path}: {reason}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: {error.problem or error.context}") from error
    except YAMLError as error:  # a character that no YAML may hold
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    return Node(value=value, path=path, line=0, column=0, name="the file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value of the document; `name` is what a person calls it: `routes of host 'lb'`."""

    value: Any
    path: Path
    line: int
    column: int
    name: str

    def fail(self, message: str, *, fix: str | None = None) -> NoReturn:
        """Raise the ConfigError that points here."""
        raise ConfigError(f"{self.path}:{self.line + 1}:{self.column + 1}: {message}", fix=fix)

    def entries(self) -> dict[str, Node]:
        """Return the entries of a mapping, in the order of the file."""
        if not isinstance(self.value, dict):
            self.fail(f"{self.name} must be a mapping")
        return {str(key): self._entry(key) for key in self.value}

    def keys(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Node]:
        """Return the entries of a mapping that has the required keys and no unknown one."""
        entries = self.entries()
        known = [*required, *optional]
        for key, node in entries.items():
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
                node.fail(f"unknown key {key!r} in {self.name}{hint}")
        for key in required:
            if key not in entries:
                self.fail(f"{self.name} lacks {key!r}")
        return entries

    def items(self) -> list[Node]:
        """Return the items of a list."""
        if not isinstance(self.value, list):
            self.fail(f"{self.name} must be a list")
        marks: Any = self.value
        places = [marks.lc.item(index) for index in range(len(marks))]
        return [
            Node(value=value, path=self.path, line=line, column=column, name=f"item of {self.name}")
            for value, (line, column) in zip(self.value, places, strict=True)
        ]

    def text(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            self.fail(f"{self.name} must be a text, not {self.value!r}")
        return str(self.value)

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.fail(f"{self.name} must be true or false, not {self.value!r}")
        return self.value

    def port(self) -> int:
        """Return a port number."""
        if type(self.value) is not int or not 1 <= self.value <= 65535:
            self.fail(f"{self.name} must be a port, 1 to 65535, not {self.value!r}")
        return self.value

    def parse(self, function: Callable[[str], Parsed]) -> Parsed:
        """Return what `function` makes of the text; its ValueError becomes the error here."""
        try:
            return function(self.text())
        except ValueError as error:
            self.fail(f"{self.name}: {error}")

    def plain(self) -> Any:
        """Return the value as plain dicts, lists and scalars."""
        return _plain(self.value)

    def _entry(self, key: object) -> Node:
        line, column = self.value.lc.key(key)
        name = f"{key!r}" if self.name == "the file" else f"{key!r} of {self.name}"
        return Node(value=self.value[key], path=self.path, line=line, column=column, name=name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
