"""The rows of conformance as values: `rows.yaml`, read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One requirement."""

    id: str
    requirement: str
    side: str
    what: str
    note: str = ""
    not_applicable: str = ""


ROWS = tuple(
    Row(**row) for row in YAML(typ="safe").load(Path(__file__).with_name("rows.yaml").read_text())
)
