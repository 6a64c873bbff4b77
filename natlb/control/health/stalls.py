"""How long this process wanted to run and did not: stopped, starved, or busy with something else.

A clock that should have struck every `BEAT` seconds and struck late has lost the difference. What
was waited for meanwhile was perhaps there in time, and nobody looked.
"""

from __future__ import annotations

import asyncio

BEAT = 0.05
USUAL = 0.01
"""So late is any timer of a loop that has something to do."""


class Stalls:
    """Counts the time that the running loop has lost."""

    def __init__(self) -> None:
        """Count from now on."""
        self._loop = asyncio.get_running_loop()
        self._lost = 0.0
        self._due = self._loop.time() + BEAT
        self._beat = self._loop.call_at(self._due, self._strike)

    @property
    def lost(self) -> float:
        """Seconds lost so far; those of a stall that has just ended are among them."""
        return self._lost + max(0.0, self._loop.time() - self._due - USUAL)

    def _strike(self) -> None:
        self._lost = self.lost
        self._due = self._loop.time() + BEAT
        self._beat = self._loop.call_at(self._due, self._strike)

    def stop(self) -> None:
        """Count no longer."""
        self._beat.cancel()
