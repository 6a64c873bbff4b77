"""TOML as a tree with places: tomllib says what the text means, this says where it stands.

tomllib keeps no positions. The text it accepted is walked a second time, by a scanner that
knows only where keys and values begin and end; what it would not understand stays without a
place, and its meaning is tomllib's all the same.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from natlb.control.config.tree import FatalFaultError, Fault, Growth, Node, Path

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACE_IN_MESSAGE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_LONG_DOTTED_KEY = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){64}")
"""tomllib's work grows with the square of a key's dots; nothing here has more than five."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_TEXT = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})'''
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\r\n]*")

Places = dict[Path, tuple[int, int]]
"""Offsets of key and value by path."""


def read_toml(text: str) -> tuple[Node, list[Fault]]:
    """Return the tree of a text; duplicate keys are a syntax error of TOML."""
    dotted = _LONG_DOTTED_KEY.search(text)
    if dotted is not None:
        raise FatalFaultError("a key of more than 64 parts", dotted.start())
    try:
        meaning = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _worded(error, text) from None
    except RecursionError:
        raise FatalFaultError("nested too deep") from None
    except ValueError:  # more digits than Python takes
        raise FatalFaultError("not TOML: a number with too many digits") from None
    return _placed(meaning, "", (), _Scanner(_lines(text)).places(), Growth()), []


def _lines(text: str) -> str:
    """Return the text as tomllib sees it, every line ended by LF, at the same offsets."""
    return text.replace("\r\n", " \n")


def _worded(error: tomllib.TOMLDecodeError, text: str) -> FatalFaultError:
    """Return what tomllib complains of, at its place: it says line and column in its words."""
    said = str(error)
    place = _PLACE_IN_MESSAGE.search(said)
    words = _PLACE_IN_MESSAGE.sub("", said)
    message = f"not TOML: {words[:1].lower()}{words[1:]}"
    if place is None or place[1] is None:
        return FatalFaultError(message, len(text.rstrip()))
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    line, column = int(place[1]), int(place[2])
    return FatalFaultError(message, min(len(text), starts[min(line, len(starts)) - 1] + column - 1))


def _placed(value: object, name: str | int, path: Path, places: Places, growth: Growth) -> Node:
    """Return a value of tomllib's as a node, with what is known of its place."""
    key_at, at = places.get(path, (None, None))
    growth.add(len(path), at)
    node = Node(name, value, at, key_at)
    if isinstance(value, dict):
        node.value = {k: _placed(v, k, (*path, k), places, growth) for k, v in value.items()}
    elif isinstance(value, list):
        node.value = [_placed(v, i, (*path, i), places, growth) for i, v in enumerate(value)]
    return node


class _Scanner:
    """Walks a text that tomllib has accepted, and notes where keys and values begin."""

    def __init__(self, text: str) -> None:
        """Walk this text."""
        self._text = text
        self._at = 0
        self._places: Places = {}
        self._tables: dict[Path, int] = {}  # of an array of tables: how many so far

    def places(self) -> Places:
        """Return all places, up to the end of the text or to what is not understood."""
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            elif not self._assignment(table, 0):
                break
        return self._places

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Go on after what a pattern matches here, if it does, and return the offset."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return self._at

    def _header(self) -> Path:
        """Return the path of the table that `[a.b]` or `[[a.b]]` opens."""
        array = self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        path: Path = ()
        at = self._at
        for part, at in self._key():
            path = (*self._inside(path), part)
            self._places.setdefault(path, (at, at))
        self._at += 2 if array else 1
        return self._next_table(path, at) if array else self._inside(path)

    def _inside(self, path: Path) -> Path:
        """Return the table that a path means: of an array of tables, the last."""
        return (*path, self._tables[path] - 1) if path in self._tables else path

    def _next_table(self, path: Path, at: int) -> Path:
        """Return the path of one more table of an array."""
        count = self._tables.get(path, 0)
        self._tables[path] = count + 1
        self._places.setdefault((*path, count), (at, at))
        return (*path, count)

    def _key(self) -> Iterator[tuple[str, int]]:
        """Yield the parts of a dotted key with their offsets, and stop after the last."""
        while True:
            at = self._skip(_SPACE)
            end = self._skip(_KEY_PART)
            if end == at:
                return
            yield _unquoted(self._text[at:end]), at
            if not self._text.startswith(".", self._skip(_SPACE)):
                return
            self._at += 1

    def _assignment(self, table: Path, depth: int) -> bool:
        """Note `key = value`, and return whether there was one."""
        path = table
        key_at = self._at
        for part, at in self._key():
            path, key_at = (*path, part), at
            self._places.setdefault(path, (at, at))
        if path == table or not self._text.startswith("=", self._skip(_SPACE)):
            return False
        self._at += 1
        self._places[path] = (key_at, self._skip(_SPACE))
        self._value(path, depth)
        return True

    def _value(self, path: Path, depth: int) -> None:
        """Go over a value, and note what is inside."""
        opening = self._text[self._at : self._at + 1]
        if opening == "[" and depth < 64:
            self._list(path, "]", depth)
        elif opening == "{" and depth < 64:
            self._list(path, "}", depth)
        else:
            self._skip(_TEXT if opening in {'"', "'"} else _BARE)

    def _list(self, path: Path, closing: str, depth: int) -> None:
        """Go over an array or an inline table."""
        self._at += 1
        index = 0
        while not self._text.startswith(closing, self._skip(_BLANK)):
            before = self._at
            if closing == "}":
                self._assignment(path, depth + 1)
            else:
                self._places[(*path, index)] = (before, before)
                self._value((*path, index), depth + 1)
            if self._text.startswith(",", self._skip(_BLANK)):
                self._at += 1
            index += 1
            if self._at == before:
                return
        self._at += 1


def _unquoted(part: str) -> str:
    """Return a key's part as TOML means it."""
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        return str(tomllib.loads(f"key = {part}")["key"])
    return part
