"""Where each value of a YAML or JSON text begins and ends: for who changes the text itself.

The tree of `tree.py` says what a text means, aliases and merges resolved; this one says what is
written where, and resolves nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent
from ruamel.yaml.events import MappingEndEvent as MappingEnd

from natlb.control.config.json_text import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.config.tree import Node


class Entry(NamedTuple):
    """A key of a mapping and its value."""

    key: Part
    value: Part


@dataclass(frozen=True, slots=True)
class Part:
    """A value's place: offsets of its first character and of what follows its last.

    `value` holds the parts of a mapping or a list, None of any other. `is_inline`: in brackets or
    braces. An alias is a place where a value is that is written elsewhere.
    """

    start: int
    end: int
    value: dict[str, Entry] | list[Part] | None = None
    is_inline: bool = True
    is_alias: bool = False


def places_in_yaml(text: str) -> Part:
    """Return the places of a text that `read_yaml` takes."""
    events = iter(YAML(typ="safe", pure=True).parse(text))
    next(events)
    next(events)
    return _yaml_part(next(events), events)


def _yaml_part(event: Any, events: Iterator[Any]) -> Part:
    """Return the place of the value that begins with an event; a block ends with its last part."""
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, ScalarEvent | AliasEvent):
        return Part(start, end, is_alias=isinstance(event, AliasEvent))
    is_inline = bool(event.flow_style)
    if isinstance(event, MappingStartEvent):
        entries: dict[str, Entry] = {}
        while not isinstance(inner := next(events), MappingEnd):
            key = _yaml_part(inner, events)
            value = _yaml_part(next(events), events)
            entries.setdefault(inner.value, Entry(key, value))
            end = value.end
        return Part(start, inner.end_mark.index if is_inline else end, entries, is_inline)
    items: list[Part] = []
    while not isinstance(inner := next(events), SequenceEndEvent):
        items.append(_yaml_part(inner, events))
        end = items[-1].end
    return Part(start, inner.end_mark.index if is_inline else end, items, is_inline)


def places_in_json(text: str) -> Part:
    """Return the places of a text that `read_json` takes."""
    root, _ = read_json(text)
    return _json_part(text, root)


def _json_part(text: str, node: Node) -> Part:
    """Return the place of a value; what is no mapping and no list is read again for its end."""
    assert node.at is not None, "what was read from a text has a place"
    if isinstance(node.value, dict):
        entries = {str(each.name): _json_entry(text, each) for each in node.children()}
        last = max((entry.value.end for entry in entries.values()), default=node.at + 1)
        return Part(node.at, text.index("}", last) + 1, entries)
    if isinstance(node.value, list):
        items = [_json_part(text, each) for each in node.children()]
        last = items[-1].end if items else node.at + 1
        return Part(node.at, text.index("]", last) + 1, items)
    return Part(node.at, json.JSONDecoder().raw_decode(text, node.at)[1])


def _json_entry(text: str, node: Node) -> Entry:
    assert node.key_at is not None, "what is in a mapping has a key"
    key = Part(node.key_at, json.JSONDecoder().raw_decode(text, node.key_at)[1])
    return Entry(key, _json_part(text, node))
