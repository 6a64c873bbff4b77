"""YAML as a tree with places: ruamel.yaml scans, this builds.

Only the plain part of YAML 1.2 is a configuration: mappings with text as keys, lists, scalars
of the core schema, aliases within the limits, `<<` merges. Tags and a second document are
refused. Composing from events, not from ruamel's own tree, is what bounds the work: a bomb of
aliases stops at the limit while it is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from natlb.control.config.problems import quoted
from natlb.control.config.tree import FatalFaultError, Fault, Growth, Node, copy_node

if TYPE_CHECKING:
    from collections.abc import Iterator

_CORE_SCHEMA = (  # YAML 1.2.2, section 10.3.2
    (re.compile(r"|~|null|Null|NULL"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(?:nan|NaN|NAN)"), lambda _: float("nan")),
)
_TEXT_TAG = "tag:yaml.org,2002:str"
_HINTS = {
    "expected <block end>": "check the indentation of this line and of those before it",
    "mapping values are not allowed": "one `key: value` a line; quote a value that holds ': '",
    "'\\t'": "indent with spaces, not with tabs",
}
_BRACKETED_ADDRESS = re.compile(r"(?:^|[\s,\[])\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]")
QUOTE_BRACKETS = "put quotes around an IPv6 address in brackets: '[2001:db8::1]:80'"


def read_yaml(text: str) -> tuple[Node, list[Fault]]:
    """Return the tree of a text, and the duplicate keys in it."""
    yaml = YAML(typ="safe", pure=True)
    builder = _Builder(yaml.parse(text))
    try:
        return builder.document(), builder.faults
    except ReaderError as error:
        message = f"the character {error.character:#06x} may not stand in YAML"
        raise FatalFaultError(message, error.position) from None
    except MarkedYAMLError as error:
        raise _worded(error, text) from None
    except (ValueError, OverflowError):  # ruamel passes on what chr() says of "\\UFFFFFFFF"
        raise FatalFaultError("not YAML: an escape names no character", builder.reached) from None


def _worded(error: MarkedYAMLError, text: str) -> FatalFaultError:
    """Return what the scanner or parser complains of, with the usual reasons for it."""
    mark = error.problem_mark or error.context_mark
    at = mark.index if mark is not None else None
    said = " ".join(part for part in (error.problem, error.context) if part)
    hint = next((hint for words, hint in _HINTS.items() if words in said), None)
    if at is not None and _BRACKETED_ADDRESS.search(_line_around(text, at)):
        hint = QUOTE_BRACKETS
    return FatalFaultError(f"not YAML: {said}", at, hint)


def _line_around(text: str, at: int) -> str:
    """Return the line that holds an offset, at most a few hundred characters of it."""
    start = text.rfind("\n", max(0, at - 200), at) + 1 or max(0, at - 200)
    end = text.find("\n", at, at + 200)
    return text[start : at + 200 if end < 0 else end]


class _Builder:
    """Builds the tree of one document from the parser's events."""

    def __init__(self, events: Iterator[Any]) -> None:
        """Take the events of a whole stream, from its start on."""
        self.faults: list[Fault] = []
        self.reached = 0
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._growth = Growth()

    def _next(self) -> Any:
        """Return the next event, and note how far the text was understood."""
        event = next(self._events)
        self.reached = event.end_mark.index
        return event

    def document(self) -> Node:
        """Return the root of the only document; an empty stream is a null."""
        self._next()
        event = self._next()
        if isinstance(event, StreamEndEvent):
            return Node("", None, 0)
        assert isinstance(event, DocumentStartEvent)
        root = self._node(self._next(), "", None, 0)
        self._next()
        event = self._next()
        if not isinstance(event, StreamEndEvent):
            raise FatalFaultError("a second document begins here", event.start_mark.index)
        return root

    def _node(self, event: Any, name: str | int, key_at: int | None, depth: int) -> Node:
        """Return the value that begins with an event."""
        at = event.start_mark.index
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, at, name, key_at, depth)
        self._growth.add(depth, at)
        node = Node(name, None, at, key_at)
        if isinstance(event, ScalarEvent):
            node.value = _scalar(event)
        else:
            _refuse_tag(event)
            build = self._mapping if isinstance(event, MappingStartEvent) else self._sequence
            assert isinstance(event, MappingStartEvent | SequenceStartEvent)
            node.value = build(depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, at: int, name: str | int, key_at: int | None, depth: int) -> Node:
        """Return a copy of what an anchor names; one that is still open is not known yet."""
        if anchor not in self._anchors:
            raise FatalFaultError(f"nothing before this has the anchor {quoted(anchor)}", at)
        return copy_node(self._anchors[anchor], name, key_at, self._growth, depth)

    def _sequence(self, depth: int) -> list[Node]:
        """Return the items up to the end of a sequence."""
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, len(items), None, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, Node]:
        """Return the entries up to the end of a mapping; of equal keys the first counts."""
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        while not isinstance(event := self._next(), MappingEndEvent):
            key, at = _key(event), event.start_mark.index
            node = self._node(self._next(), key, at, depth)
            if key == "<<" and event.style is None:
                merged += _merged_from(node)
            elif key in entries:
                self.faults.append(Fault(f"the key {quoted(key)} is given twice", (), at))
            else:
                entries[key] = node
        for source in merged:
            for node in source.children():
                entries.setdefault(str(node.name), node)
        return entries


def _key(event: Any) -> str:
    """Return a key's text: `80` and `on` are as good a name as any."""
    if isinstance(event, ScalarEvent):
        _refuse_tag(event)
        return str(event.value)
    hint = QUOTE_BRACKETS if isinstance(event, SequenceStartEvent) else None
    raise FatalFaultError("a key must be plain text", event.start_mark.index, hint)


def _merged_from(node: Node) -> list[Node]:
    """Return the mappings that a `<<` takes its entries from (yaml.org/type/merge.html)."""
    sources = node.children() if isinstance(node.value, list) else [node]
    if any(not isinstance(source.value, dict) for source in sources):
        raise FatalFaultError("'<<' takes a mapping, or a list of them", node.key_at)
    return sources


def _refuse_tag(event: Any) -> None:
    """Raise for a tag that would make something else of a value than what it looks like."""
    tag = None if event.ctag is None else str(event.ctag)
    if tag not in {None, "!", _TEXT_TAG}:
        raise FatalFaultError(
            f"the tag {quoted(tag or '')} is not used here", event.start_mark.index
        )


def _scalar(event: Any) -> object:
    """Return a scalar's value: quoted or tagged as text it is text, plain it is what it says."""
    _refuse_tag(event)
    text: str = event.value
    if event.style is not None or event.ctag is not None:
        return text
    for pattern, convert in _CORE_SCHEMA:
        if pattern.fullmatch(text):
            return _converted(convert, text, event.start_mark.index)
    return text


def _converted(convert: Any, text: str, at: int) -> object:
    """Return a number; Python refuses an int of more than 4,300 digits (CVE-2020-10735)."""
    try:
        return convert(text)
    except ValueError:
        raise FatalFaultError("a number with too many digits", at) from None
