"""What a worker tells of openings that go wrong, as control reads it: at its own pace, and bounded.

The ring holds so much and no more (`core/events.py`), so a look costs as much as the whole ring at
the most, however many openings fail meanwhile. What was overwritten before it was read is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.core.events import READ, WRITTEN
from natlb.core.layout import MOST_EVENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.events import Events


class EventRing:
    """Reads a worker's events, where the last reader stopped."""

    def __init__(self, events: Events) -> None:
        """Go on where whoever read it before has stopped."""
        self._events = events
        self.lost = 0  # events that were overwritten before they were read

    def read(self) -> NDArray[Any]:
        """Return copies of the events since the last look, oldest first.

        A record counts as read if its number is the one that belongs there, before the copy and
        after: the worker writes on meanwhile, and may come round.
        """
        ring, counts = self._events
        written = int(counts[WRITTEN])
        first = int(counts[READ])
        if not 0 <= first <= written:
            first = written  # memory that somebody spoilt: go on from the newest
        if first == written:
            return ring[:0].copy()
        numbers = np.arange(max(first, written - MOST_EVENTS), written)
        found = ring[numbers % MOST_EVENTS]
        whole = found["sequence"] == numbers + 1
        whole &= ring["sequence"][numbers % MOST_EVENTS] == numbers + 1
        steady: NDArray[Any] = found[whole]
        self.lost += written - first - steady.size
        counts[READ] = written
        return steady
