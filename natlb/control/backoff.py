"""When a child that died may be started again, and which of its deaths are worth a log line.

The first deaths cost no delay: a killed worker is replaced at once. Each start takes a token of a
few; a token comes back after a while without deaths. Without a token the wait doubles up to a
limit, and of many deaths in a row only the 1st, 2nd, 4th, 8th … are reported. How many tokens there
are, and how soon one comes back, is for who knows what a start costs: a worker is a fork.

Law: no clock is read here; every call is told the time in seconds.
"""

from __future__ import annotations

FREE_STARTS = 8
SECONDS_A_TOKEN = 10.0
FIRST_DELAY = 0.25
LONGEST_DELAY = 8.0


class BackOff:
    """The patience with one kind of child."""

    def __init__(
        self,
        now: float,
        *,
        free_starts: int = FREE_STARTS,
        seconds_a_token: float = SECONDS_A_TOKEN,
    ) -> None:
        """Begin with all free starts."""
        self._most, self._seconds = float(free_starts), seconds_a_token
        self._tokens = self._most
        self._counted = now
        self._delay = 0.0
        self._deaths = 0

    def died(self, now: float) -> float:
        """Count a death and return the seconds to wait before the next start."""
        earned = (now - self._counted) / self._seconds
        self._counted = now
        self._tokens = min(self._most, self._tokens + earned)
        if self._tokens >= self._most:
            self._deaths = 0
        self._deaths += 1
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            self._delay = 0.0
        else:
            self._delay = min(LONGEST_DELAY, max(FIRST_DELAY, self._delay * 2))
        return self._delay

    @property
    def deaths(self) -> int:
        """How many deaths came in this row."""
        return self._deaths

    @property
    def worth_a_line(self) -> bool:
        """Whether the last death is to be logged: a power of two in its row."""
        return self._deaths & (self._deaths - 1) == 0
