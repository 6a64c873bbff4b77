"""Regular expressions on what a backend says, for a bounded time.

A backend chooses the text, and can make most expressions take minutes: `.*x` in one line of 64 KiB
without an x. Python's `re` looks for signals as it goes, so a timer of CPU time ends it; of CPU
time, since a busy machine makes no expression worse. It looks every few thousand steps, each of
which may scan the whole text: so it is tried on the beginning first, where steps are short.

Laws
    Called by the main thread alone, as signals are Python's main thread's.
"""

from __future__ import annotations

import re
import signal
from functools import lru_cache

MOST_SECONDS = 0.05
SHORT = 4096


class TooCostlyError(Exception):
    """The expression took too long on this text."""


class _Timer:
    """Interrupts the search in hand; a signal that comes late meets nobody."""

    def __init__(self) -> None:
        self.running = False

    def ring(self, *_: object) -> None:
        if self.running:
            raise TooCostlyError

    def start(self) -> None:
        # Never put back: by then a signal may be on its way, and the default is to die of it.
        signal.signal(signal.SIGVTALRM, self.ring)
        self.running = True
        signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)

    def stop(self) -> None:
        self.running = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def found(pattern: str, text: bytes) -> bool:
    """Return whether the expression is found in the octets; raises TooCostlyError."""
    compiled = _compiled(pattern)
    timer = _Timer()
    try:
        timer.start()
        try:
            return _search(compiled, text)
        finally:
            timer.stop()
    finally:
        timer.stop()  # it may have rung between the search and the first stop


def _search(compiled: re.Pattern[bytes], text: bytes) -> bool:
    """Search in ever longer beginnings, and go by the last: the whole."""
    size = SHORT
    while size < len(text):
        compiled.search(text[:size])
        size *= 2
    return compiled.search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())
