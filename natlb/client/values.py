"""Values of `natlb.model` from the JSON of an answer."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from natlb.errors import UnavailableError
from natlb.model import WHERE_CONFIGURED

T = TypeVar("T")


def values_of(kind: type[T], document: object) -> list[T]:
    """Return the values of a list."""
    if not isinstance(document, list):
        raise _other_version(kind)
    return [value_of(kind, item) for item in document]


def value_of(kind: type[T], document: object) -> T:
    """Return a value of the model from its JSON; fields that a later natlb added are left out."""
    plain, nested = _shape(kind)  # type: ignore[arg-type] # every class is hashable
    needed = {*plain, *nested}.difference(WHERE_CONFIGURED)
    if not isinstance(document, dict) or not document.keys() >= needed:
        raise _other_version(kind)
    fields = {name: document[name] for name in plain if name in document}
    for name, (inner, is_by_name) in nested.items():
        if name in document:
            fields[name] = _part(inner, document[name], is_by_name=is_by_name)
    return kind(**fields)


def _part(kind: type[T], part: object, *, is_by_name: bool) -> object:
    """Return the values of the model that a member of a document holds; null is None."""
    if part is None:
        return None
    if isinstance(part, list):
        return values_of(kind, part)
    if is_by_name and isinstance(part, dict):
        return {name: value_of(kind, each) for name, each in part.items()}
    return value_of(kind, part)


@cache
def _shape(kind: type) -> tuple[list[str], dict[str, tuple[type, bool]]]:
    """Return the fields of a kind of value: those JSON has as they are, those of a kind again.

    Of the latter also whether it has many of them, by name.
    """
    nested = {
        name: (each, dict in [get_origin(part) for part in hints])
        for name, hint in get_type_hints(kind).items()
        for hints in [_within(hint)]
        for each in hints
        if _is_kind(each)
    }
    return [name for name in get_type_hints(kind) if name not in nested], nested


def _within(hint: Any) -> list[Any]:
    """Return a type and all that it is put together of."""
    return [hint, *(each for argument in get_args(hint) for each in _within(argument))]


def _is_kind(hint: object) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _other_version(kind: type) -> UnavailableError:
    message = f"natlb's answer is no {kind.__name__.lower()}: another version is running"
    return UnavailableError(message, fix="natlb --version")
