"""The terminal: the table of services and backends, looked at again and again, and its keys.

The API is asked in a thread. While it is slow the screen goes on; while nobody answers, what was
seen last stays, the headline says so, and the next look is tried all the same.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App
from textual.widgets import DataTable, Footer, Static

from natlb.errors import NatlbError
from natlb.tui.look import History, take_look
from natlb.tui.rows import COLUMNS, RIGHT, Row, headline, rows_of
from natlb.tui.screens import Confirm, Flows, Weigh, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import JustifyMethod
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from natlb.model import Backend, BackendStateName
    from natlb.tui.look import Source

CONSEQUENCES: dict[BackendStateName, tuple[str, str]] = {
    "draining": ("drain", "It gets no new flows; those it has go on."),
    "maint": ("maint", "It gets no new flows, and those it has are reset at both ends."),
    "ready": ("ready", "It gets new flows again."),
}


class Top(App[None]):
    """`natlb top`."""

    CSS = """
    .headline { height: 1; padding: 0 1; background: $panel; }
    DataTable { height: 1fr; }
    Confirm, Weigh { align: center middle; }
    .dialog { width: 64; height: auto; padding: 1 2; border: round $accent; background: $surface; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("d", "change('draining')", "Drain"),
        ("m", "change('maint')", "Maint"),
        ("r", "change('ready')", "Ready"),
        ("w", "weigh", "Weight"),
        ("space", "look", "Look now"),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, source: Source, interval: float) -> None:
        """Show what this source says, every so many seconds."""
        super().__init__()
        self.history = History()
        self._source, self._interval = source, interval
        self._headline = Static("asking natlb …", classes="headline")
        self._table: DataTable[Text] = DataTable(cursor_type="row")
        self._rows: list[Row] = []
        self._widest = {name: len(name) for name in COLUMNS}
        self._at_once = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Return headline, table and keys."""
        yield self._headline
        yield self._table
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        for name in COLUMNS:
            self._table.add_column(Text(name, justify=_side(name)), key=name)
        self._table.focus()
        self.run_worker(self._follow())

    async def _follow(self) -> None:
        """Look, show, wait; a change that was made is looked at at once."""
        while True:
            self._at_once.clear()
            try:
                look = await in_thread(lambda: take_look(self._source))
            except NatlbError as error:
                self._say(f"{error.message}; trying again", "bold red")
            else:
                self.history.note(look)
                self.show_history()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._at_once.wait(), self._interval)

    def show_history(self) -> None:
        """Show the last look and what led to it."""
        look = self.history.last
        if look is not None:
            self._say(headline(look), "bold" if look.status.ready else "bold yellow")
            self._show(rows_of(self.history))

    def _say(self, words: str, style: str) -> None:
        self._headline.update(Text(words, style=style))

    def _show(self, rows: list[Row]) -> None:
        """Show the rows; the cursor stays on what it is on, wherever that is now."""
        table = self._table
        if [row.key for row in rows] == [row.key for row in self._rows]:
            for old, new in zip(self._rows, rows, strict=True):
                self._update(old, new)
        else:
            chosen = self._chosen_row()
            table.clear()
            for row in rows:
                texts = (_text(name, row, at) for at, name in enumerate(COLUMNS))
                table.add_row(*texts, key=row.key)
                self._widen(row)
            keys = [row.key for row in rows]
            if chosen is not None and chosen.key in keys:
                table.move_cursor(row=keys.index(chosen.key))
        self._rows = rows

    def _update(self, old: Row, new: Row) -> None:
        """Write the cells of a row that are others than before.

        Columns get wider and never narrower: Textual would measure all of a column for each cell.
        """
        for at, name in enumerate(COLUMNS):
            if (old.cells[at], old.colour) != (new.cells[at], new.colour):
                is_wider = len(new.cells[at]) > self._widest[name]
                text = _text(name, new, at)
                self._table.update_cell(new.key, name, text, update_width=is_wider)
        self._widen(new)

    def _widen(self, row: Row) -> None:
        for name, cell in zip(COLUMNS, row.cells, strict=True):
            self._widest[name] = max(self._widest[name], len(cell))

    def _chosen_row(self) -> Row | None:
        at = self._table.cursor_row
        return self._rows[at] if 0 <= at < len(self._rows) else None

    def chosen(self) -> Backend | None:
        """Return the backend under the cursor; None, with a word, on a service or on nothing."""
        row = self._chosen_row()
        backends = self.history.last.backends if self.history.last else []
        for backend in backends:
            if row is not None and (backend.service, backend.name) == (row.service, row.backend):
                return backend
        self.notify("move to a backend first", severity="warning")
        return None

    def on_data_table_row_selected(self) -> None:
        """Show the flows of the backend that was entered."""
        backend = self.chosen()
        if backend is not None:
            screen = Flows(self._source, backend.service, backend.name, self._interval)
            self.push_screen(screen)

    def action_look(self) -> None:
        """Look now, not after the interval."""
        self._at_once.set()

    def action_change(self, state: BackendStateName) -> None:
        """Ask, then change the state of the chosen backend."""
        backend = self.chosen()
        if backend is None:
            return
        service, name = backend.service, backend.name
        verb, consequence = CONSEQUENCES[state]

        def answered(answer: bool | None) -> None:  # noqa: FBT001 - as Textual calls it
            if answer:
                self._change(lambda: self._source.set_backend(service, name, state=state))

        self.push_screen(Confirm(f"{verb} {service}/{name}?", consequence), answered)

    def action_weigh(self) -> None:
        """Ask for a weight, and set it."""
        backend = self.chosen()
        if backend is None:
            return
        service, name = backend.service, backend.name

        def answered(weight: int | None) -> None:
            if weight is not None:
                self._change(lambda: self._source.set_backend(service, name, weight=weight))

        self.push_screen(Weigh(f"{service}/{name}", backend.weight), answered)

    def _change(self, change: Callable[[], Backend]) -> None:
        self.run_worker(self._changed(change))

    async def _changed(self, change: Callable[[], Backend]) -> None:
        """Make a change, and tell what came of it."""
        try:
            now = await in_thread(change)
        except NatlbError as error:
            self.notify(error.message, title="not done", severity="error", markup=False)
            return
        words = f"{now.service}/{now.name}: {now.state}, weight {now.weight}"
        self.notify(words, markup=False)
        self._at_once.set()


def _text(name: str, row: Row, at: int) -> Text:
    return Text(row.cells[at], style=row.colour, justify=_side(name))


def _side(name: str) -> JustifyMethod:
    return "right" if name in RIGHT else "left"
