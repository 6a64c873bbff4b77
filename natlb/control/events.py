"""What natlb changed or noticed, as a log line for people and as an event for programs: one fact.

    events.note("backend_down", service="web", backend="b1", code="L4CON")

writes the line and keeps the event, under the next number. The last `MOST_EVENTS` are kept; who
asks for what came after a number that is no longer kept is told so, and reads on from the oldest.
Nothing here is for single packets or probes: an event is a change. What is long is cut short, in
line and event alike. Events and their numbers survive control's death in an `EventMemory`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog

from natlb.model import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.event_memory import EventMemory

LevelName = Literal["info", "warning", "error"]
FieldValue = str | int | float | bool | None | list[str]
MOST_EVENTS = 1000
MOST_NAMES = 100  # of a list
LONGEST_TEXT = 2000
LONGEST_NAME = 200

log = structlog.get_logger()


class Since(NamedTuple):
    """What came after a number; `is_whole` is False where some of it is not kept any more."""

    events: list[Event]
    is_whole: bool


class EventLog:
    """The last events, and whoever waits for the next one."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Know no event; `clock` says what time it is."""
        self._clock = clock
        self._kept: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._last = 0
        self._memory: EventMemory | None = None
        self._news = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the youngest event; 0: there was none."""
        return self._last

    def note(self, kind: str, level: LevelName = "info", **fields: FieldValue) -> None:
        """Log a past fact and keep it as an event."""
        told = {name: _short(value) for name, value in fields.items()}
        getattr(log, level)(kind, **told)
        self._add(kind, level, told)

    def keep(self, kind: str, level: LevelName = "info", **fields: FieldValue) -> None:
        """Keep as an event what another process has logged."""
        self._add(kind, level, {name: _short(value) for name, value in fields.items()})

    def _add(self, kind: str, level: LevelName, told: dict[str, FieldValue]) -> None:
        at = rfc3339(self._clock())
        self._keep(Event(id=self._last + 1, at=at, level=level, kind=kind, fields=told))
        self._news.set()
        self._news = asyncio.Event()

    def _keep(self, event: Event) -> None:
        self._last = event.id
        self._kept.append(event)
        if self._memory is not None:
            self._memory.append(event)

    def keep_in(self, memory: EventMemory) -> None:
        """Own this memory: go on behind the events that are in it, and keep the next ones there.

        What was noted before gets numbers behind them; so do this before anybody asks.
        """
        early = list(self._kept)
        self._kept.clear()
        self._kept.extend(memory.read())
        self._last = self._kept[-1].id if self._kept else 0
        self._memory = memory
        for event in early:
            self._keep(replace(event, id=self._last + 1))

    def close(self) -> None:
        """Let go of the memory."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def since(self, number: int) -> Since:
        """Return the kept events after this number, oldest first."""
        oldest = self._kept[0].id if self._kept else self._last + 1
        events = [event for event in self._kept if event.id > number]
        return Since(events, is_whole=oldest - 1 <= number <= self._last)

    async def wait(self, after: int) -> None:
        """Return once there is an event after this number."""
        while self._last <= after:
            await self._news.wait()


def rfc3339(moment: datetime) -> str:
    """Return a time of UTC with milliseconds: `2026-01-02T03:04:05.678Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: FieldValue) -> FieldValue:
    """Return a value that fits a line: a name is told, ten thousand are counted."""
    if isinstance(value, str):
        return _cut(value, LONGEST_TEXT)
    if isinstance(value, list):
        names = [_cut(each, LONGEST_NAME) for each in value[:MOST_NAMES]]
        return [*names, f"and {len(value) - MOST_NAMES} more"] if len(value) > MOST_NAMES else names
    return value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
