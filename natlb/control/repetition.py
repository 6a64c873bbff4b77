"""What recurs is logged a few times, then counted: "so many similar suppressed".

A log that a flapping backend fills hides everything else, and a disk that it fills stops more than
natlb. Lines are alike that have the same kind and are about the same object (`OBJECTS`). Of those,
`MOST_LINES` (or what `LINES` says) are written in `SECONDS`; the others are counted, and told when
that time is over:

    2026-01-02T03:05:05Z warning backend_down service=web backend=b1 similar_suppressed=57

Of what an operator did each line is written (`ALWAYS`): somebody will look for just that one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, WrappedLogger

MOST_LINES = 10
SECONDS = 60.0
MOST_KINDS = 4096  # remembered; beyond, what is new is written always
LINES = {"child_died": 30, "control_replaced": 30, "worker_replaced": 30}
OBJECTS = ("service", "backend", "child", "worker", "side", "interface", "path", "role", "client")
ALWAYS = frozenset(
    {
        "backend_added",
        "backend_changed",
        "backend_removed",
        "changes_saved",
        "configuration_reloaded",
        "configuration_unchanged",
        "flows_flushed",
        "reload_refused",
    }
)

Key = tuple[str, ...]


@dataclass(slots=True)
class _Window:
    """Lines that are alike, since the first of them."""

    ends: float
    level: str
    words: dict[str, Any]
    lines: int = 0
    suppressed: int = 0


class Repetition:
    """A processor that lets through what is new, and counts what recurs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no line."""
        self._clock = clock
        self._windows: dict[Key, _Window] = {}

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:  # noqa: ARG002 - structlog's signature
        """Return the line, or raise DropEvent where enough like it were written."""
        is_told = "similar_suppressed" in event
        if is_told or event["event"] in ALWAYS or event.get("level") == "debug":
            return event
        window = self._window_of(event)
        if window is None:
            return event
        if window.lines >= LINES.get(event["event"], MOST_LINES):
            window.suppressed += 1
            raise structlog.DropEvent
        window.lines += 1
        return event

    def _window_of(self, event: EventDict) -> _Window | None:
        """Return the window a line falls into, a new one where there is room for it."""
        words = {word: event[word] for word in OBJECTS if word in event}
        key = str(event["event"]), *(f"{word}={value}" for word, value in words.items())
        window = self._windows.get(key)
        if window is not None and (window.suppressed or self._clock() < window.ends):
            return window
        if window is None and len(self._windows) >= MOST_KINDS:
            return None
        window = _Window(self._clock() + SECONDS, str(event.get("level", "info")), words)
        self._windows[key] = window
        return window

    def over(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return level, kind and fields of what is to be told of windows that are over.

        They are forgotten by that. To be called every second or so.
        """
        now = self._clock()
        found = []
        for key, window in list(self._windows.items()):
            if now >= window.ends:
                del self._windows[key]
                if window.suppressed:
                    words = {**window.words, "similar_suppressed": window.suppressed}
                    found.append((window.level, key[0], words))
        return found
