"""JSON as a tree with places: the standard library reads the scalars, this finds its way.

The grammar is RFC 8259: no comments, no trailing commas, no NaN. Duplicate keys, which the RFC
leaves open, are faults.
"""

from __future__ import annotations

import json
import re
from typing import Never

from natlb.control.config.problems import quoted
from natlb.control.config.tree import FatalFaultError, Fault, Growth, Node

_SPACE = re.compile(r"[ \t\r\n]*")


def read_json(text: str) -> tuple[Node, list[Fault]]:
    """Return the tree of a text, and the duplicate keys in it; an empty text is a null."""
    reader = _Reader(text)
    at = reader.skip(0)
    if at == len(text):
        return Node("", None, 0), []
    root, end = reader.value(at, "", None, 0)
    if reader.skip(end) != len(text):
        raise FatalFaultError("not JSON: something follows the value", reader.skip(end))
    return root, reader.faults


class _Reader:
    """Reads values by recursive descent; every method returns the offset where it stopped."""

    def __init__(self, text: str) -> None:
        """Read this text."""
        self.faults: list[Fault] = []
        self._text = text
        self._growth = Growth()
        self._scalars = json.JSONDecoder(parse_constant=_refuse_constant)

    def skip(self, at: int) -> int:
        """Return the offset after white space."""
        space = _SPACE.match(self._text, at)
        assert space is not None
        return space.end()

    def value(self, at: int, name: str | int, key_at: int | None, depth: int) -> tuple[Node, int]:
        """Return the value at an offset."""
        self._growth.add(depth, at)
        node = Node(name, None, at, key_at)
        opening = self._text[at : at + 1]
        if opening == "{":
            node.value, end = self._mapping(at, depth + 1)
        elif opening == "[":
            node.value, end = self._sequence(at, depth + 1)
        else:
            node.value, end = self._scalar(at)
        return node, end

    def _scalar(self, at: int) -> tuple[object, int]:
        """Return a text, number, true, false or null."""
        try:
            value, end = self._scalars.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            raise FatalFaultError(
                f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.pos
            ) from None
        except ValueError:  # NaN and its like, or more digits than Python takes
            raise FatalFaultError("not JSON: no number that can be read", at) from None
        return value, end

    def _sequence(self, at: int, depth: int) -> tuple[list[Node], int]:
        """Return the items between brackets."""
        items: list[Node] = []
        at = self.skip(at + 1)
        while self._text[at : at + 1] != "]" or items:
            item, end = self.value(at, len(items), None, depth)
            items.append(item)
            at, more = self._comma(end, "]")
            if not more:
                return items, at
        return items, at + 1

    def _mapping(self, at: int, depth: int) -> tuple[dict[str, Node], int]:
        """Return the entries between braces; of equal keys the first counts."""
        entries: dict[str, Node] = {}
        at = self.skip(at + 1)
        while self._text[at : at + 1] != "}" or entries:
            key, end = self._key(at)
            node, end = self.value(self._colon(end), key, at, depth)
            if key in entries:
                self.faults.append(Fault(f"the key {quoted(key)} is given twice", (), at))
            entries.setdefault(key, node)
            at, more = self._comma(end, "}")
            if not more:
                return entries, at
        return entries, at + 1

    def _key(self, at: int) -> tuple[str, int]:
        """Return the text of a key."""
        if self._text[at : at + 1] != '"':
            raise FatalFaultError("not JSON: expected a key in double quotes", at)
        key, end = self._scalar(at)
        return str(key), end

    def _colon(self, at: int) -> int:
        """Return where the value after a colon begins."""
        at = self.skip(at)
        if self._text[at : at + 1] != ":":
            raise FatalFaultError("not JSON: expected ':' after a key", at)
        return self.skip(at + 1)

    def _comma(self, at: int, closing: str) -> tuple[int, bool]:
        """Return where the next item begins and True, or where the list has ended and False."""
        at = self.skip(at)
        found = self._text[at : at + 1]
        if found == closing:
            return at + 1, False
        if found != ",":
            raise FatalFaultError(f"not JSON: expected ',' or '{closing}'", at)
        return self.skip(at + 1), True


def _refuse_constant(name: str) -> Never:
    """Refuse NaN and Infinity, which Python's decoder takes and RFC 8259 does not."""
    raise ValueError(name)
