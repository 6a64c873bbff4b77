"""The tables of docs/configuration.md: `python -m natlb.control.config.reference` prints them.

Made from `shape.py` and `later.py`, so that no key can be missing there; a test holds the
document to it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import BaseModel

from natlb.control.config.check_words import codes_texts
from natlb.control.config.checking import DEFAULTS as CHECK
from natlb.control.config.choosing import PolicyShape
from natlb.control.config.later import LATER
from natlb.control.config.shape import PARTS, AccessShape, TimeoutsShape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


def key_table() -> str:
    """Return the table of all keys of this version, in Markdown."""
    rows = [f"| {' | '.join(row)} |" for row in _rows()]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def later_list() -> str:
    """Return the keys and values that are known and not in this version, in Markdown."""
    rows = (f"- `{_shown(row.path.split('.'))}`{_which(row.values)}" for row in LATER)
    return "\n".join(dict.fromkeys(rows)) + "\n"


def _rows() -> Iterator[tuple[str, str, str]]:
    """Yield path, default and meaning of each key; a mapping stands by the rows of its keys."""
    for steps, part in PARTS.items():
        if "shadow" in steps or (part in {TimeoutsShape, AccessShape} and "services" in steps):
            continue  # said of `policy`; said of the global ones
        if steps[-3:] == ("backends", "*", "check"):
            continue  # said of the service's
        for key, field in part.model_fields.items():
            if (key,) not in PARTS or steps:
                yield f"`{_shown([*steps, key])}`", _default(field), field.description or ""


def _default(field: FieldInfo) -> str:
    """Return a default as it is written in YAML; what has to be found is in the description."""
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, PolicyShape):
        value = value.name
    if value in (None, []) and "`none`" in (field.description or ""):
        return "`none`"
    if value in (None, "") or isinstance(value, BaseModel):
        return ""
    if value == CHECK.status:
        value = ", ".join(codes_texts(value))
    if isinstance(value, bool):
        return f"`{value}`".lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _shown(steps: list[str]) -> str:
    """Return a path with the names that a user chooses in capitals."""
    path = ".".join(steps)
    for pattern, shown in (
        ("services.*", "services.NAME"),
        ("backends.*", "backends[]"),
    ):
        path = path.replace(pattern, shown)
    return path


def _which(values: str | None) -> str:
    """Return which values of a key are meant, where it is not all."""
    if values is None:
        return ""
    words = _VALUES.get(values)
    return f": {words}" if words else ": " + ", ".join(f"`{word}`" for word in values.split("|"))


_VALUES = {
    r"(?!packet$).*": "anything but `packet`",
    r"[2-9]|[1-9]\d+": "more than `1`",
    "tcp://.*": "`tcp://ADDRESS:PORT`",
}


def main() -> None:
    """Print both."""
    sys.stdout.write(f"{key_table()}\n{later_list()}")


if __name__ == "__main__":
    main()
