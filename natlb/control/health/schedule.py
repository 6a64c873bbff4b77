"""When each backend is checked: all checks of an instance on one timer.

    new           spread evenly: over two seconds the first time, then over the interval
    then          `interval` after the beginning of the last one, less a random part (`jitter`)
    in vain       again at once, if the process was held up; soon, if natlb could not ask

Laws
    No backend is checked twice at a time.
    Waits are shortened and never prolonged, so `fall` bad results are there at the latest
    fall * interval + timeout after a backend died, as long as this process runs.
    A result that says more of natlb than of the backend counts neither for it nor against it: it is
    told as one in vain.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from natlb.control.health.stalls import Stalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from natlb.control.config.values import CheckConfig
    from natlb.control.health.arbiter import BackendKey
    from natlb.control.health.probe import Result, Target

FIRST_SECONDS = 2.0
"""Over so long the first checks are spread; a health that is asked for daily is known by then."""
AGAIN_SECONDS = 1.0
MOST_AT_ONCE = 1024
LATE_SECONDS = 0.5
MOST_LOST = 0.25
"""Of a check's time: with more of it lost, silence may be natlb's own."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of a backend, and where."""

    key: BackendKey
    check: CheckConfig
    target: Target


class Told(Protocol):
    """Who is told what checks come to."""

    def checked(self, job: Job, result: Result, /) -> None:
        """Take a result that counts."""

    def in_vain(self, job: Job, result: Result | None, /) -> None:
        """Take one that says nothing of the backend; None: natlb had no time for it."""


class _Turn:
    """A backend's place in the queue."""

    __slots__ = ("due", "is_over", "job", "task", "wait")

    def __init__(self, job: Job, due: float, wait: float) -> None:
        self.job = job
        self.due = due
        self.wait = wait  # before the next but one: later ones follow from the interval
        self.task: asyncio.Task[None] | None = None
        self.is_over = False


class Schedule:
    """Asks in time, and tells what came of it; made and used in one running loop."""

    def __init__(
        self,
        ask: Callable[[CheckConfig, Target], Awaitable[Result]],
        told: Told,
        *,
        most: int = MOST_AT_ONCE,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Have nobody to ask; `chance` draws from 0 to 1."""
        self._ask = ask
        self._told = told
        self._most = most
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._stalls = Stalls()
        self._turns: dict[BackendKey, _Turn] = {}
        self._queue: list[tuple[float, int, _Turn]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def follow(self, jobs: Mapping[BackendKey, Job]) -> None:
        """Check these from now on; who was checked in the same way keeps its turn."""
        for key in [key for key, turn in self._turns.items() if jobs.get(key) != turn.job]:
            self._end(self._turns.pop(key))
        new = [job for key, job in jobs.items() if key not in self._turns]
        now = self._loop.time()
        for place, job in enumerate(new):
            interval, part = job.check.interval, place / len(new)
            first = min(interval, FIRST_SECONDS)
            turn = _Turn(job, now + first * part, first + (interval - first) * part)
            self._turns[job.key] = turn
            self._enqueue(turn)
        self._set_timer()

    async def stop(self) -> None:
        """Ask nobody any more; what is being asked is given up."""
        self._stalls.stop()
        self.follow({})
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _end(self, turn: _Turn) -> None:
        turn.is_over = True
        if turn.task is not None:
            turn.task.cancel()

    def _enqueue(self, turn: _Turn) -> None:
        heapq.heappush(self._queue, (turn.due, next(self._numbers), turn))

    def _set_timer(self) -> None:
        """Wake when the next turn comes; with as many under way as may be, one that ends wakes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._queue[0][2].is_over:
            heapq.heappop(self._queue)
        if self._queue and len(self._asking) < self._most:
            self._timer = self._loop.call_at(self._queue[0][0], self._begin_due)

    def _begin_due(self) -> None:
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now and len(self._asking) < self._most:
            _, _, turn = heapq.heappop(self._queue)
            if not turn.is_over:
                self._begin(turn, now)
        self._set_timer()

    def _begin(self, turn: _Turn, now: float) -> None:
        if now - turn.due > LATE_SECONDS:
            self._told.in_vain(turn.job, None)
        turn.task = self._loop.create_task(self._check(turn))
        self._asking.add(turn.task)
        turn.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        if len(self._asking) == self._most - 1:
            self._begin_due()
        if not task.cancelled() and task.exception() is not None:
            self._loop.call_exception_handler({"message": "a check", "exception": task.exception()})

    async def _check(self, turn: _Turn) -> None:
        job, began, lost = turn.job, self._loop.time(), self._stalls.lost
        result = await self._ask(job.check, job.target)
        if turn.is_over:
            return
        turn.task = None
        lost = self._stalls.lost - lost
        if result.status is None:
            turn.due = self._loop.time() + min(AGAIN_SECONDS, job.check.interval)
            self._told.in_vain(job, result)
        elif _is_doubtful(result, lost, job.check.timeout):
            turn.due = self._loop.time()
            self._told.in_vain(job, None)
        else:
            turn.due = max(began + self._next_wait(turn), self._loop.time())
            self._told.checked(job, result)
        if not turn.is_over:
            self._enqueue(turn)
            self._set_timer()

    def _next_wait(self, turn: _Turn) -> float:
        """Return how long after its beginning a check is followed by the next."""
        wait, check = turn.wait, turn.job.check
        turn.wait = check.interval
        return wait * (1 - check.jitter * self._chance())


def _is_doubtful(result: Result, lost: float, timeout: float) -> bool:
    """Return whether a result may be due to time that this process lost.

    An answer is one, late or not, unless it lay there for as long as a check may take; silence is
    none where natlb did not listen.
    """
    return lost >= (MOST_LOST * timeout if result.code.endswith("TOUT") else timeout)
