"""What comes over the table: a question before a change, a weight, the flows of one backend."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Input, Static

from natlb.errors import NatlbError
from natlb.model import Flow, FlowFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from natlb.tui.look import Source

T = TypeVar("T")
MOST_WEIGHT = 65535
MOST_FLOWS = 500
FLOW_COLUMNS = ("Prot", "State", "Client", "VIP", "Server", "Age", "Idle", "Packets", "Bytes")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` does beside the screen; leaving waits for none of it.

    The threads of `asyncio.to_thread` are waited for at the end, however long the API takes.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(result)  # type: ignore[arg-type] # there is one then
        else:
            outcome.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, daemon=True).start()
    return await outcome


class Confirm(ModalScreen[bool]):
    """A question; only `y` is yes, so that a key pressed twice changes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str, consequence: str) -> None:
        """Ask this, and say what would happen."""
        super().__init__()
        self._words = question, consequence

    def compose(self) -> ComposeResult:
        """Return the dialog."""
        question, consequence = self._words
        with Vertical(classes="dialog"):
            yield Static(Text(question, style="bold"))
            yield Static(Text(consequence))
            yield Static(Text("y yes   n no", style="dim"))

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - as Textual calls actions
        """End with the answer."""
        self.dismiss(answer)


class Weigh(ModalScreen[int | None]):
    """Asks for a weight; None: none was given."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "Cancel")]

    def __init__(self, backend: str, weight: int) -> None:
        """Ask for a backend's weight, which is this one now."""
        super().__init__()
        self._backend, self._weight = backend, weight

    def compose(self) -> ComposeResult:
        """Return the dialog."""
        with Vertical(classes="dialog"):
            yield Static(Text(f"weight of {self._backend}", style="bold"))
            yield Input(str(self._weight), type="integer", max_length=5)
            yield Static(Text(f"0 to {MOST_WEIGHT}; enter sets it, escape leaves it", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """End with the weight, if it is one."""
        if event.value.isdecimal() and int(event.value) <= MOST_WEIGHT:
            self.dismiss(int(event.value))
        else:
            self.notify(f"a weight is 0 to {MOST_WEIGHT}", severity="error")


class Flows(Screen[None]):
    """The flows of one backend, read again and again while they are looked at."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q", "app.pop_screen", "Back"),
        ("space", "look", "Look now"),
    ]

    def __init__(self, source: Source, service: str, backend: str, interval: float) -> None:
        """Show the flows of this backend."""
        super().__init__()
        self._source, self._interval = source, interval
        self._wanted = FlowFilter(service=service, backend=backend)
        self._headline = Static(classes="headline")
        self._table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
        self._at_once = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Return a headline and the table."""
        yield self._headline
        yield self._table
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._table.add_columns(*FLOW_COLUMNS)
        self.run_worker(self._follow())

    async def _follow(self) -> None:
        while True:
            self._at_once.clear()
            name = f"{self._wanted.service}/{self._wanted.backend}"
            try:
                flows = await in_thread(lambda: self._source.flows(self._wanted, MOST_FLOWS))
            except NatlbError as error:
                self._say(f"{name}: {error.message}", "red")
            else:
                most = f", the first {MOST_FLOWS} of them" if len(flows) == MOST_FLOWS else ""
                self._say(f"{name}: {len(flows)} flows{most}", "bold")
                self._show(flows)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._at_once.wait(), self._interval)

    def action_look(self) -> None:
        """Look now, not after the interval."""
        self._at_once.set()

    def _say(self, words: str, style: str) -> None:
        self._headline.update(Text(words, style=style))

    def _show(self, flows: Sequence[Flow]) -> None:
        table = self._table
        at = table.cursor_row
        table.clear()
        for flow in flows:
            table.add_row(*(Text(cell) for cell in _cells(flow)))
        table.move_cursor(row=at)


def _cells(flow: Flow) -> tuple[str, ...]:
    return (
        flow.protocol.upper(),
        flow.state,
        flow.client,
        flow.vip,
        flow.server,
        f"{flow.age_seconds:.0f}s",
        f"{flow.idle_seconds:.0f}s",
        f"{flow.packets.original}/{flow.packets.reply}",
        f"{flow.bytes.original}/{flow.bytes.reply}",
    )
