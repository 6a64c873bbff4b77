"""What natlb changed or noticed, as a log line for people and as an event for programs: one fact.

    events.note("backend_down", service="web", backend="b1", code="L4CON")

writes the line and keeps the event, under the next number. The last `MOST_EVENTS` are kept; who
asks for what came after a number that is no longer kept is told so, and reads on from the oldest.
Nothing here is for single packets or probes: an event is a change.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog

from natlb.model import Event

if TYPE_CHECKING:
    from collections.abc import Callable

LevelName = Literal["info", "warning", "error"]
FieldValue = str | int | float | bool | None | list[str]
MOST_EVENTS = 1000

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
        self._news = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the youngest event; 0: there was none."""
        return self._last

    def note(self, kind: str, level: LevelName = "info", **fields: FieldValue) -> None:
        """Log a past fact and keep it as an event."""
        getattr(log, level)(kind, **fields)
        self.keep(kind, level, **fields)

    def keep(self, kind: str, level: LevelName = "info", **fields: FieldValue) -> None:
        """Keep as an event what another process has logged."""
        self._last += 1
        at = rfc3339(self._clock())
        self._kept.append(Event(id=self._last, at=at, level=level, kind=kind, fields=fields))
        self._news.set()
        self._news = asyncio.Event()

    def since(self, number: int) -> Since:
        """Return the kept events after this number, oldest first."""
        oldest = self._kept[0].id if self._kept else self._last + 1
        events = [event for event in self._kept if event.id > number]
        return Since(events, is_whole=oldest - 1 <= number <= self._last)

    async def wait(self) -> None:
        """Return once there is another event."""
        await self._news.wait()


def rfc3339(moment: datetime) -> str:
    """Return a time of UTC with milliseconds: `2026-01-02T03:04:05.678Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
