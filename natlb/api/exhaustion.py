"""What becomes of connections when no file can be opened any more: told once, and waited for.

asyncio stops accepting for a second and tries again, for as long as it takes; it reports each try
to the loop, and this is what the loop reports to. Packets are forwarded by other processes.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Protocol

    from natlb.control.events import EventLog

    class HasEvents(Protocol):
        """Whoever keeps what an operator should know."""

        @property
        def events(self) -> EventLog:
            """Where it is kept."""


EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
SECONDS_OVER = 10.0  # without another failure: the next one is news


class Exhaustion:
    """A loop's exception handler that tells of exhaustion once, and leaves the rest as it was."""

    def __init__(self, told: HasEvents, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell it as an event."""
        self._told = told
        self._clock = clock
        self._last = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what the loop reports."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in EXHAUSTED:
            loop.default_exception_handler(context)
            return
        now = self._clock()
        if now - self._last > SECONDS_OVER:
            reason = error.strerror or str(error)
            self._told.events.note("connections_not_accepted", "error", reason=reason)
        self._last = now
