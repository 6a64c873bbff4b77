"""When to tell that policies of the user's own were at a loss, and others served."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS_A_LINE = 60.0  # for each service; the first is told at once


class Fallbacks:
    """What was counted when each service was last told of."""

    def __init__(self) -> None:
        """Know no counts: the first that are noted are where it begins."""
        self._told: dict[str, tuple[float, int]] = {}

    def note(self, now: float, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how often each service fell back since it was told of, where that is due."""
        self._told = {name: told for name, told in self._told.items() if name in counts}
        due = {}
        for name, count in counts.items():
            when, before = self._told.get(name, (now - SECONDS_A_LINE, 0))
            if count < before:
                before = 0  # counted anew
            if count > before and now - when >= SECONDS_A_LINE:
                due[name] = count - before
                self._told[name] = now, count
        return due
