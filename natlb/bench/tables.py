"""Numbers as words, and rows as tables of Markdown, which a terminal shows as well. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = "-"


def number(value: float) -> str:
    """Return a number with three or four figures that mean something: 8.12, 63.4, 254,000."""
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) >= 1000 else f"{value:.3g}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table, its columns as wide as they need; the first row is the head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]
