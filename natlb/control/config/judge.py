"""A tree held against the shape: every value that does not fit, in words, all at once.

What does not fit is dropped from the tree and the rest is tried again, so that a wrong port does
not hide two backends of one name. Only the first try complains: what the later ones find is a
consequence.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from natlb.control.config.kinds import REST
from natlb.control.config.later import NOT_YET, later_keys
from natlb.control.config.problems import described, quoted
from natlb.control.config.shape import FileShape, part_at
from natlb.control.config.tree import Fault, Node, Path, fault_at, fault_at_key, follow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from pydantic_core import ErrorDetails

_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
}
_LISTS = {"listen", "backends"}
_OF_KEY = "[key]"
"""How pydantic ends the path of a key that is wrong itself."""


def judge(root: Node) -> tuple[FileShape | None, list[Fault]]:
    """Return as much of a tree as fits the shape, and a fault for all that does not.

    None where nothing is left to look at. The tree keeps what fits.
    """
    faults: list[Fault] | None = None
    while True:
        try:
            context = None if faults is None else REST
            return FileShape.model_validate(root.plain(), context=context), faults or []
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if faults is None:
            faults = _complaints(root, errors)
        for each in errors:
            _drop(root, each)
        if root.dropped:
            return None, faults
        root.sweep()


def _drop(root: Node, error: ErrorDetails) -> None:
    """Drop a value that does not fit; a service keeps its two lists, if need be empty."""
    nodes = follow(root, error["loc"])
    last, is_of_service = nodes[-1], nodes[1:2] == [root.child("services")]
    if error["type"] == "missing" and is_of_service and len(nodes) == 3:
        assert isinstance(last.value, dict)
        last.value[error["loc"][-1]] = Node(error["loc"][-1], [])
    elif is_of_service and len(nodes) == 4 and last.name in _LISTS:
        last.value = []
    else:
        last.dropped = True


def _complaints(root: Node, errors: Sequence[ErrorDetails]) -> list[Fault]:
    """Return what to say of all errors; a key that was misspelled is not said to be missing."""
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    meant = {(*error["loc"][:-1], _guess(error["loc"]) or "") for error in unknown}
    return [_complaint(root, error) for error in errors if not _is_consequence(root, error, meant)]


def _is_consequence(root: Node, error: ErrorDetails, meant: AbstractSet[Path]) -> bool:
    """Return whether something is missing only because it was misspelled, or dropped before."""
    missed = follow(root, error["loc"])[-1].missed
    if error["type"] == "too_short":
        return bool(missed)
    return error["type"] == "missing" and (error["loc"] in meant or error["loc"][-1] in missed)


def _complaint(root: Node, error: ErrorDetails) -> Fault:
    """Return what to say of an error."""
    path = error["loc"]
    nodes = follow(root, path)
    if error["type"] == "missing":
        return _missing(root, path)
    if error["type"] == "extra_forbidden":
        return _unknown(root, path)
    if nodes[-1].value is None:
        message = f"{_subject(nodes[-1])} has no value; give it one, or leave it out"
        return fault_at_key(root, path, message)
    if path[-1:] == (_OF_KEY,) and nodes[-1].name != _OF_KEY:
        return fault_at_key(root, path, _said(error))
    return _unfit(root, path, error, nodes[-1])


def _subject(node: Node) -> str:
    """Return a value by its key, for the beginning of a sentence."""
    return f"item {node.name + 1}" if isinstance(node.name, int) else quoted(node.name)


def _unfit(root: Node, path: Path, error: ErrorDetails, node: Node) -> Fault:
    """Return what to say of a value that is not what its key takes."""
    kind = error["type"]
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        message = f"{described(node.value)} is not one of {', '.join(choices)}"
        near = _nearest(node.value, choices)
        return fault_at(root, path, message, near and f"did you mean {quoted(near)}?")
    if kind == "too_short":
        return fault_at(root, path, "is empty; it needs at least one entry")
    if kind in _WANTED:
        return fault_at(root, path, f"must be {_WANTED[kind]}, not {described(node.value)}")
    return fault_at(root, path, _said(error))


def _said(error: ErrorDetails) -> str:
    """Return the words of our own check, or else of pydantic."""
    return str(error.get("ctx", {}).get("error", error["msg"]))


def _missing(root: Node, path: Path) -> Fault:
    """Return what to say of a mapping without a key that it needs."""
    holder = path[:-1]
    where = place(root, holder) or "the configuration"
    return fault_at_key(root, holder, f"{where} has no {quoted(str(path[-1]))}")


def _unknown(root: Node, path: Path) -> Fault:
    """Return what to say of a key that no version of natlb knows."""
    where = place(root, path[:-1])
    message = f"unknown key {quoted(str(path[-1]))}" + (f" in {where}" if where else "")
    guess = _guess(path)
    if guess is None:
        return fault_at_key(root, path, message)
    later = f" (that is {NOT_YET})" if guess in later_keys(path[:-1]) else ""
    return fault_at_key(root, path, message, f"did you mean {quoted(guess)}?{later}")


def _guess(path: Path) -> str | None:
    """Return the known key that is nearest to the unknown one at the end of a path."""
    part = part_at(path[:-1])
    known = part.model_fields if part else ()
    return _nearest(path[-1], [*known, *later_keys(path[:-1])])


def _nearest(value: object, choices: Sequence[str]) -> str | None:
    """Return what may have been meant, if anything is near."""
    near = get_close_matches(value[:64], choices, n=1) if isinstance(value, str) else []
    return near[0] if near else None


def place(root: Node, path: Path) -> str:
    """Return a path in words: `backend 'b1' of service 'web'`; the root is no place."""
    if not path:
        return ""
    if path[0] != "services" or len(path) < 2:
        return quoted(str(path[-1]))
    service = f"service {quoted(str(path[1]))}"
    if len(path) == 2:
        return service
    if path[2] != "backends" or len(path) < 4:
        return f"{quoted(str(path[2]))} of {service}"
    return f"{_backend(root, path[:4])} of {service}"


def _backend(root: Node, path: Path) -> str:
    """Return a backend by its name or its address, or else by its number."""
    node = follow(root, path)[-1]
    for key in ("name", "address"):
        known = node.child(key)
        if known is not None and isinstance(known.value, str):
            return f"backend {quoted(known.value)}"
    return f"backend {int(path[3]) + 1}"
