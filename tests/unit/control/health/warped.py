"""A loop whose clock is turned by hand: nothing sleeps, and hours pass in milliseconds.

with_time(test)      runs `test(loop)` to its end
loop.stall(3)        the process does not run for three seconds
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class _Skipping(selectors.DefaultSelector):
    """Returns at once, and says how long it should have waited."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.skipped += timeout
        return ready


class WarpedLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own."""

    def __init__(self) -> None:
        """Begin at 1000 s."""
        self._skipping = _Skipping()
        self._stalled = 1000.0
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time, which passes only where nothing is to be done."""
        return self._stalled + self._skipping.skipped

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs."""
        self._stalled += seconds


def with_time(test: Callable[[WarpedLoop], Awaitable[None]]) -> None:
    """Run a test in warped time."""
    loop = WarpedLoop()
    try:
        loop.run_until_complete(test(loop))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def in_warped_time(test: Callable[[WarpedLoop], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of a coroutine that takes the loop."""

    def run() -> None:
        with_time(test)

    run.__doc__ = test.__doc__
    return run
