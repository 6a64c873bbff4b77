"""Changes written into a configuration's text: all that is not changed stays, octet for octet.

    weight     a number in the place of another, or one more entry of the backend
    removed    the backend's own lines, or its place in the brackets
    added      after the last one, written as its neighbours are

Comments, order, quotes, indentation and line ends are nobody's business here: only the places
that a change is about are touched. What cannot be changed without touching more (an alias, a
merge) is refused; whoever asks also reads the result back, and believes nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from natlb.control.config.places import Entry, Part, places_in_json, places_in_yaml
from natlb.control.config.render import inline_mapping, yaml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from natlb.control.config.load import Syntax

_DASH = re.compile(r"( *)-( +)")
_NOTHING_MORE = re.compile(r"[ \t]*(?:[ \t]#[^\r\n]*)?(?:\r?\n|\Z)")
_COLON = re.compile(r"\s*:")
_COMMA = re.compile(r"\s*,")


class UnwritableError(Exception):
    """The text says this in a way that cannot be changed by itself."""


@dataclass(frozen=True, slots=True)
class PoolEdit:
    """What to change in a service's list of backends; numbers are places in the list as it is."""

    weights: Mapping[int, int] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
    added: Sequence[Mapping[str, object]] = ()


class _Splice(NamedTuple):
    """Other text for a piece of a text."""

    start: int
    end: int
    text: str


def edited(text: str, syntax: Syntax, edits: Mapping[str, PoolEdit]) -> str:
    """Return a valid configuration's text with the pools of these services changed.

    Raises UnwritableError, also for TOML.
    """
    if syntax == "toml":
        raise UnwritableError("TOML is read, and not written")
    is_json = syntax == "json"
    root = places_in_json(text) if is_json else places_in_yaml(text)
    writer = _Writer(text, root, _JSON if is_json else _YAML)
    pieces, at = [], 0
    for splice in sorted(each for name, edit in edits.items() for each in writer.pool(name, edit)):
        pieces += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join([*pieces, text[at:]])


def _entry(part: Part, name: str) -> Entry:
    """Return an entry that is written in a mapping itself, not merged into it."""
    if not isinstance(part.value, dict) or name not in part.value:
        raise UnwritableError(f"'{name}' is not written where it is used")
    return part.value[name]


class _Form(NamedTuple):
    """How a syntax writes values: a weight's entry, a backend on one line, an address's weight.

    The last makes a mapping of a backend that had an address alone, which stays as written.
    """

    weight: Callable[[int], str]
    backend: Callable[[Mapping[str, object]], str]
    weighted: Callable[[str, int], str]


_YAML = _Form(
    weight="weight: {}".format,
    backend=lambda v: yaml_text(str(v["address"])) if len(v) == 1 else inline_mapping(v),
    weighted="{{address: {}, weight: {}}}".format,
)
_JSON = _Form(
    weight='"weight": {}'.format,
    backend=lambda v: json.dumps(v["address"] if len(v) == 1 else v),
    weighted='{{"address": {}, "weight": {}}}'.format,
)


class _Writer:
    """Finds the places to change."""

    def __init__(self, text: str, root: Part, form: _Form) -> None:
        """Change this text, whose values stand there."""
        self._text = text
        self._root = root
        self._form = form

    def pool(self, service: str, edit: PoolEdit) -> Iterator[_Splice]:
        """Yield the changes of a service's list."""
        services = _entry(self._root, "services").value
        entry = _entry(_entry(services, service).value, "backends")
        items = entry.value.value
        if not isinstance(items, list):
            raise UnwritableError(f"the backends of {service} are written elsewhere")
        for number, weight in edit.weights.items():
            yield self._weight(items[number], weight)
        if entry.value.is_inline:
            yield from self._inline(entry.value, items, edit)
        else:
            yield from self._block(entry, items, edit)

    def _weight(self, item: Part, weight: int) -> _Splice:
        """Return the change that gives a backend another weight."""
        if item.is_alias:
            raise UnwritableError("a backend is written elsewhere")
        if not isinstance(item.value, dict):
            raw = self._text[item.start : item.end]
            return _Splice(item.start, item.end, self._form.weighted(raw, weight))
        if "weight" in item.value:
            place = item.value["weight"].value
            return _Splice(place.start, place.end, str(weight))
        entries = sorted(item.value.values(), key=lambda each: each.key.start)
        first, last = entries[0], entries[-1]
        if item.is_inline:
            return _Splice(last.value.end, last.value.end, f", {self._form.weight(weight)}")
        column = first.key.start - self._line_start(first.key.start)
        end = self._line_end(last.value.end)
        return _Splice(end, end, f"{self._line_break}{' ' * column}{self._form.weight(weight)}")

    def _inline(self, pool: Part, items: list[Part], edit: PoolEdit) -> Iterator[_Splice]:
        """Yield what takes backends out of brackets, and puts others in."""
        added = [self._form.backend(values) for values in edit.added]
        left = [number for number in range(len(items)) if number not in edit.removed]
        last = left[-1] if left else -1
        for number in edit.removed:
            if number < last:
                yield _Splice(items[number].start, items[number + 1].start, "")
        if not items:
            yield _Splice(pool.start + 1, pool.start + 1, ", ".join(added))
        elif left:
            yield _Splice(items[last].end, items[-1].end, "".join(f", {each}" for each in added))
        else:
            end = items[-1].end
            comma = None if added else _COMMA.match(self._text, end)
            yield _Splice(items[0].start, comma.end() if comma else end, ", ".join(added))

    def _block(self, entry: Entry, items: list[Part], edit: PoolEdit) -> Iterator[_Splice]:
        """Yield what takes lines of backends away, and adds others after the last."""
        for number in edit.removed:
            yield self._lines(items[number])
        if len(edit.removed) == len(items) and not edit.added:
            colon = _COLON.match(self._text, entry.key.end)
            assert colon is not None, "a key has a colon"
            yield _Splice(colon.end(), colon.end(), " []")
        if edit.added:
            dash = _DASH.match(self._text, self._line_start(items[-1].start))
            if dash is None:
                raise UnwritableError("a backend does not begin behind its dash")
            end = self._line_end(items[-1].end)
            lines = [self._item(values, dash, items[-1]) for values in edit.added]
            is_open = end == len(self._text)
            text = "".join(f"{each}{self._line_break}" for each in lines)
            at = end if is_open else end + len(self._line_break)
            yield _Splice(at, at, self._line_break + text if is_open else text)

    def _item(self, values: Mapping[str, object], dash: re.Match[str], like: Part) -> str:
        """Return a backend as its neighbour is written: on a line, or on one for each entry."""
        begin = dash.group()
        if not isinstance(like.value, dict) or like.is_inline or len(values) == 1:
            return begin + self._form.backend(values)
        between = self._line_break + " " * len(begin)
        entries = (inline_mapping({name: value})[1:-1] for name, value in values.items())
        return begin + between.join(entries)

    def _lines(self, item: Part) -> _Splice:
        """Return the change that takes away the lines of a backend, and nothing else."""
        start = self._line_start(item.start)
        rest = _NOTHING_MORE.match(self._text, item.end)
        if rest is None or not _DASH.match(self._text, start):
            raise UnwritableError("a backend shares its lines with something else")
        return _Splice(start, rest.end(), "")

    @property
    def _line_break(self) -> str:
        return "\r\n" if "\r\n" in self._text else "\n"

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Return where the line ends that an offset is in, before its break."""
        end = self._text.find("\n", at)
        if end < 0:
            return len(self._text)
        return end - 1 if self._text[end - 1] == "\r" else end
