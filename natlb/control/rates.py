"""Counts that only rise, read from time to time, as rates over the last seconds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW_SECONDS = 5.0


class Rates:
    """The last few readings of a set of counts."""

    def __init__(self) -> None:
        """Know nothing: every rate is 0."""
        self._readings: deque[tuple[float, Mapping[str, int]]] = deque()

    def note(self, now: float, counts: Mapping[str, int]) -> None:
        """Keep this reading; of those before, keep the youngest that is a window old, and later."""
        self._readings.append((now, dict(counts)))
        while len(self._readings) > 2 and self._readings[1][0] <= now - WINDOW_SECONDS:
            self._readings.popleft()

    def per_second(self) -> dict[str, float]:
        """Return how fast each count of the last reading rose; 0 for one that is new."""
        if len(self._readings) < 2:
            return dict.fromkeys(self._readings[-1][1], 0.0) if self._readings else {}
        (before, old), (now, new) = self._readings[0], self._readings[-1]
        return {name: max(0, new[name] - old.get(name, new[name])) / (now - before) for name in new}
