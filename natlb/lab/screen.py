"""Where the demo is shown: lines on a pipe, lines and a live table on a terminal.

Lines stay, the live part is drawn again and again below them while traffic runs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from natlb.lab.report import Row

NO_WRAP = 200  # columns of a pipe: a line is a line there


class Screen:
    """A console with a part that can be drawn again; a context manager for that part."""

    def __init__(self, console: Console | None = None) -> None:
        """Show on `console`, by default on standard output."""
        self.console = console or Console()
        if not self.console.is_terminal:
            self.console.width = NO_WRAP
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin the live part, where there is a terminal."""
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the live part; it is wiped."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @contextmanager
    def busy(self, words: str) -> Iterator[None]:
        """Show on a terminal, for the length of the block, that something is going on."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(words):
            yield

    def say(self, line: str, style: str = "") -> None:
        """Add a line."""
        self.console.print(Text(line, style=style), soft_wrap=True)

    def show(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        for row in rows:
            self.say(row.text, row.style)

    @property
    def is_live(self) -> bool:
        """Whether anybody sees what is drawn."""
        return self._live is not None

    def draw(self, rows: Sequence[Row]) -> None:
        """Draw these rows in the place of those drawn before."""
        if self._live is not None:
            texts = (Text(row.text, style=row.style, no_wrap=True) for row in rows)
            self._live.update(Group(*texts), refresh=True)
