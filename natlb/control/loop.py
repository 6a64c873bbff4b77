"""The supervisor's loop: fds that become readable, times that come, signals.

asyncio would do, but pyroute2's plain calls refuse to run inside it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Action = Callable[[], object]


class Loop:
    """Calls what was asked for, one thing at a time, until it is told to stop."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._selector = selectors.DefaultSelector()
        self._times: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._signals: dict[int, Action] = {}
        self._stopped = False

    def now(self) -> float:
        """Return the time that `at` counts in: seconds that never jump."""
        return time.monotonic()

    def watch(self, fd: int, action: Action) -> None:
        """Call `action` whenever the fd is readable."""
        self._selector.register(fd, selectors.EVENT_READ, action)

    def ignore(self, fd: int) -> None:
        """Watch an fd no longer; before it is closed."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def after(self, seconds: float, action: Action) -> None:
        """Call `action` once, so much later."""
        heapq.heappush(self._times, (self.now() + seconds, next(self._order), action))

    def on_signals(self, actions: dict[int, Action]) -> None:
        """Call these, in the loop and not inside of whatever is going on, when the signals come."""
        self._signals = actions
        ours, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in actions:
            signal.signal(number, lambda *_: None)
        self.watch(ours, lambda: self._take_signals(ours))

    def _take_signals(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(fd, 64):
                if number in self._signals:
                    self._signals[number]()

    def stop(self) -> None:
        """Return from `run` once the present action is over; the next `run`, where none is."""
        self._stopped = True

    def run(self) -> None:
        """Call what is due until `stop`."""
        while not self._stopped:
            self.step(self._until_next())
        self._stopped = False

    def step(self, timeout: float | None) -> None:
        """Wait at most so long for one round of events, and call what they ask for."""
        for key, _ in self._selector.select(timeout):
            # An action may have made the loop ignore an fd that is further behind in this round.
            if self._selector.get_map().get(key.fd) is key and not self._stopped:
                key.data()
        while self._times and self._times[0][0] <= self.now() and not self._stopped:
            heapq.heappop(self._times)[2]()

    def _until_next(self) -> float | None:
        return max(0.0, self._times[0][0] - self.now()) if self._times else None
