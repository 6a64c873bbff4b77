"""`natlb top --once`: one table of two looks, for scripts and for who has no Textual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.tui.look import History, take_look
from natlb.tui.rows import COLUMNS, RIGHT, headline, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.tui.look import Source


def once(source: Source, seconds: float, sleep: Callable[[float], None]) -> str:
    """Return the headline and the table of what happens within so many seconds."""
    history = History()
    history.note(take_look(source))
    sleep(seconds)
    history.note(take_look(source))
    assert history.last is not None
    shown = len(COLUMNS) - 1  # a trend of one look is none
    table = [COLUMNS[:shown], *(row.cells[:shown] for row in rows_of(history))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [headline(history.last)]
    for cells in table:
        parts = [
            f"{cell:>{width}}" if name in RIGHT else f"{cell:<{width}}"
            for cell, name, width in zip(cells, COLUMNS, widths, strict=False)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
