"""The terminal, by Textual's own test driver."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import DataTable, Input, Static

from natlb.errors import BusyError, UnavailableError
from natlb.tui.app import Top
from natlb.tui.screens import Confirm, Flows, Weigh
from tests.unit.tui.fake_source import FakeSource, backend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

DEADLINE_SECONDS = 60.0
INTERVAL = 3600.0  # a test looks when it wants to


class Heard(Top):
    """An app that remembers what it told, which the screen forgets after a while."""

    heard = ""

    def notify(self, message: str, **rest: Any) -> None:
        """Remember, then tell."""
        self.heard += f"{message} "
        super().notify(message, **rest)


class Screen:
    """An app that runs, its pilot and its source."""

    def __init__(self, app: Heard, pilot: Pilot[None], source: FakeSource) -> None:
        """Keep them."""
        self.app, self.pilot, self.source = app, pilot, source

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, self.words()
            await self.pilot.pause(0.01)

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    async def look(self) -> None:
        """Have natlb asked again, and shown."""
        before = self.source.asked
        await self.press("space")
        await self.until(lambda: self.source.asked > before)
        await self.pilot.pause()

    def headline(self) -> str:
        """Return the first line of the screen on top."""
        return str(self.app.screen.query_one(".headline", Static).render())

    def table(self) -> DataTable[Any]:
        """Return the table of the screen on top."""
        return self.app.screen.query_one(DataTable)

    def words(self) -> list[list[str]]:
        """Return the table of the screen on top, as text."""
        table = self.table()
        return [list(map(str, table.get_row_at(at))) for at in range(table.row_count)]

    def told(self) -> str:
        """Return what was notified so far."""
        return self.app.heard


def on_screen(
    size: tuple[int, int] = (140, 30),
) -> Callable[[Callable[[Screen], Awaitable[None]]], Callable[[], None]]:
    """Run a test on a screen of its own that has been filled."""

    def wrap(test: Callable[[Screen], Awaitable[None]]) -> Callable[[], None]:
        def run() -> None:
            async def live() -> None:
                source = FakeSource()
                app = Heard(source, INTERVAL)
                try:
                    async with app.run_test(size=size) as pilot:
                        screen = Screen(app, pilot, source)
                        await screen.until(lambda: screen.table().row_count)
                        await test(screen)
                finally:
                    source.gate.set()

            asyncio.run(live())

        run.__doc__ = test.__doc__
        return run

    return wrap


@on_screen()
async def test_services_and_their_backends_are_one_table(screen: Screen) -> None:
    """In the order of the configuration, with what the wire and the checks say."""
    await screen.look()
    await screen.until(lambda: "ms" in screen.words()[1][10])
    rows = screen.words()

    assert [row[0] for row in rows] == ["web", "  b1", "  b2", "  b3", "dns", "  b1"]
    assert rows[0][3] == "2 of 3 up"
    assert rows[2][2] == "4/10"
    assert rows[3][4:6] == ["down L4CON", "0.2 ms"]
    assert screen.headline().startswith("ready, compiled, generation 7: 2 of 4 backends up")


@on_screen()
async def test_a_change_is_made_only_after_a_yes(screen: Screen) -> None:
    """A key that was pressed by mistake changes nothing."""
    await screen.press("down", "down", "d")
    await screen.until(lambda: isinstance(screen.app.screen, Confirm))
    await screen.press("d", "enter", "n")
    await screen.until(lambda: not isinstance(screen.app.screen, Confirm))
    assert screen.source.changes == []
    await screen.press("m")
    await screen.until(lambda: isinstance(screen.app.screen, Confirm))
    await screen.press("y")
    await screen.until(lambda: screen.source.changes)

    assert screen.source.changes == [("web", "b2", "maint", None)]
    await screen.until(lambda: screen.words()[2][3] == "maint")


@pytest.mark.parametrize(("key", "state"), [("d", "draining"), ("r", "ready")])
def test_each_key_asks_for_its_state(key, state) -> None:
    """As the commands of the same names do."""

    async def test(screen: Screen) -> None:
        await screen.press("down", key)
        await screen.until(lambda: isinstance(screen.app.screen, Confirm))
        await screen.press("y")
        await screen.until(lambda: screen.source.changes)

        assert screen.source.changes == [("web", "b1", state, None)]

    on_screen()(test)()


@on_screen()
async def test_a_weight_is_asked_for_and_judged(screen: Screen) -> None:
    """Before anything is sent."""
    await screen.press("down", "w")
    await screen.until(lambda: isinstance(screen.app.screen, Weigh))
    screen.app.screen.query_one(Input).value = "70000"
    await screen.press("enter")
    await screen.until(lambda: "0 to 65535" in screen.told())
    assert isinstance(screen.app.screen, Weigh)
    screen.app.screen.query_one(Input).value = "7"
    await screen.press("enter")
    await screen.until(lambda: screen.source.changes)

    assert screen.source.changes == [("web", "b1", None, 7)]
    await screen.press("w")
    await screen.until(lambda: isinstance(screen.app.screen, Weigh))
    await screen.press("escape")
    await screen.until(lambda: not isinstance(screen.app.screen, Weigh))
    assert len(screen.source.changes) == 1


@on_screen()
async def test_what_the_api_refuses_is_told(screen: Screen) -> None:
    """With its words, markup and all."""
    screen.source.refusal = BusyError("another [red]change[/] is under way")
    await screen.press("down", "d")
    await screen.until(lambda: isinstance(screen.app.screen, Confirm))
    await screen.press("y")
    await screen.until(lambda: "another [red]change[/]" in screen.told())

    assert screen.words()[1][3] == "ready"


@on_screen()
async def test_a_service_is_no_backend(screen: Screen) -> None:
    """Keys that change a backend say so."""
    await screen.press("d", "w", "enter")
    await screen.until(lambda: screen.told().count("move to a backend first") == 3)

    assert screen.source.changes == []


@on_screen()
async def test_flows_of_a_backend_are_one_key_away(screen: Screen) -> None:
    """And back again; while natlb is gone they stay."""
    await screen.press("down", "enter")
    await screen.until(lambda: isinstance(screen.app.screen, Flows) and screen.words())

    assert screen.words()[0][:5] == [
        *("TCP", "established", "198.51.100.2:40000", "203.0.113.10:80", "10.77.0.11:8080")
    ]
    assert screen.headline() == "web/b1: 3 flows"
    screen.source.failure = UnavailableError("natlb is not running")
    await screen.look()
    await screen.until(lambda: "not running" in screen.headline())
    assert len(screen.words()) == 3
    await screen.press("escape")
    await screen.until(lambda: not isinstance(screen.app.screen, Flows))


@on_screen()
async def test_natlb_may_go_and_come_back(screen: Screen) -> None:
    """What was seen last stays, and it goes on by itself."""
    screen.source.failure = UnavailableError("natlb is not running")
    await screen.look()
    await screen.until(lambda: screen.headline() == "natlb is not running; trying again")
    assert len(screen.words()) == 6
    screen.source.failure = None
    await screen.look()

    await screen.until(lambda: screen.headline().startswith("ready"))


@on_screen()
async def test_a_slow_api_freezes_nothing(screen: Screen) -> None:
    """The cursor moves while an answer is waited for, and leaving waits for none."""
    screen.source.gate.clear()
    await screen.press("space")
    await screen.press("down", "down")
    await screen.until(lambda: screen.table().cursor_row == 2)
    await screen.press("d")
    await screen.until(lambda: isinstance(screen.app.screen, Confirm))


@on_screen()
async def test_the_cursor_stays_on_its_backend(screen: Screen) -> None:
    """Also where a reload puts others before it."""
    await screen.press(*["down"] * 3)
    await screen.until(lambda: screen.table().cursor_row == 3)
    screen.source.pool.insert(0, backend("web", 9))
    await screen.look()
    await screen.until(lambda: len(screen.words()) == 7)

    assert screen.words()[screen.table().cursor_row][0] == "  b3"


@on_screen()
async def test_a_column_is_never_measured_whole(screen: Screen) -> None:
    """With a thousand backends it would be, for each cell of it: minutes for a look."""
    table, measured = screen.table(), 0

    def get_column(_key: Any) -> list[Any]:
        nonlocal measured
        measured += 1
        return []

    table.get_column = get_column  # type: ignore[method-assign,assignment]
    screen.source.pool[0] = backend("web", 1, address="10.77.0.1:8")
    await screen.look()
    await screen.until(lambda: screen.words()[1][1] == "10.77.0.1:8")
    screen.source.pool.insert(0, backend("web", 9, name="b9-with-a-long-name"))
    await screen.look()
    await screen.until(lambda: len(screen.words()) == 7)
    await screen.pilot.pause()

    assert measured == 0
    assert table.columns[next(iter(table.columns))].content_width == len("  b9-with-a-long-name")


@on_screen((30, 8))
async def test_a_small_terminal_and_a_larger_one(screen: Screen) -> None:
    """What does not fit is scrolled to."""
    await screen.pilot.resize_terminal(200, 50)
    await screen.until(lambda: screen.app.size.width == 200)
    await screen.pilot.resize_terminal(12, 3)
    await screen.until(lambda: screen.app.size.width == 12)

    assert len(screen.words()) == 6


@on_screen()
async def test_names_are_not_markup(screen: Screen) -> None:
    """A backend called [red] is shown by that name."""
    screen.source.pool.append(backend("dns", 2, name="[red]x[/]", address="[b]"))
    await screen.look()
    await screen.until(lambda: len(screen.words()) == 7)

    assert screen.words()[6][:2] == ["  [red]x[/]", "[b]"]


@on_screen()
async def test_q_leaves(screen: Screen) -> None:
    """With nothing gone wrong."""
    await screen.press("q")
    await screen.until(lambda: screen.app._exit)

    assert screen.app.return_code == 0
