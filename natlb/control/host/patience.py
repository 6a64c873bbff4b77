"""When to mend again what somebody else undoes: at once, until it looks like a quarrel.

The first few times cost no wait. From then on the wait doubles up to a limit, so that two programs
that disagree do not spend the host's time on each other. A good while in peace forgets it all.

Law: no clock is read here; every call is told the time in seconds.
"""

from __future__ import annotations

FREE_TIMES = 8
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
PEACE = 60.0  # and at least twice the last wait


class Patience:
    """The patience with one thing that is undone."""

    def __init__(self) -> None:
        """Begin without a grudge."""
        self._times = 0
        self._last = 0.0
        self._wait = 0.0

    def may_mend(self, now: float) -> bool:
        """Return whether the wait is over."""
        return not self._times or now >= self._last + self._wait

    def mended(self, now: float) -> float:
        """Count a repair, or one tried in vain; return the seconds before the next one."""
        if now - self._last > max(PEACE, 2 * self._wait):
            self._times = 0
        self._times, self._last = self._times + 1, now
        self._wait = 0.0
        if self._times > FREE_TIMES:
            self._wait = min(
                LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._times - FREE_TIMES - 1, 30)
            )
        return self._wait
