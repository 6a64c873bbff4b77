"""The supervisor's next hops: what workers send by, made anew when the kernel's tables change.

    the kernel speaks   wait a moment for what else it has to say, hear it all
    next hops differ    a sealed memory of them, and every worker is given it
    a new worker        is given the newest with all else that it needs

A generation is kept here and in the workers, nowhere else: a successor makes its own. Making one
is paced by what it costs, and a route that changes is followed within a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from natlb.control.memory import sealed_memfd
from natlb.control.messages import Hold
from natlb.control.roles import Role

if TYPE_CHECKING:
    from natlb.control.supervisor import Supervisor

SECONDS_TO_SETTLE = 0.1
LEAST_PAUSE, LONGEST_PAUSE = 0.1, 0.8
REST = 4.0  # times as long as making a generation took
SECONDS_TO_RETRY = 1.0


class HopKeeper:
    """Follows next hops, and has the workers know the newest."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is followed yet."""
        self._supervisor = supervisor
        self._watched: list[int] = []
        self._settling = self._wanted = False
        self._not_before = 0.0
        self._told = ""

    def follow(self) -> None:
        """Watch what is to be watched by now, and publish what differs."""
        if not self._settling:
            self._watch()
        self._want()

    def _watch(self) -> None:
        """Watch, except while the kernel is given time to speak."""
        loop = self._supervisor.loop
        for fd in self._watched:
            loop.ignore(fd)
        self._watched = []
        if self._settling:
            return
        try:
            self._watched = self._supervisor.host.watched_hops()
        except Exception as error:  # noqa: BLE001 - the kernel refuses now and may not a second later
            self._doubt(error)
        for fd in self._watched:
            loop.watch(fd, self._wake)

    def _wake(self) -> None:
        """Let the kernel say all that it has to say."""
        self._settling = True
        self._watch()
        self._supervisor.loop.after(SECONDS_TO_SETTLE, self._hear)

    def _hear(self) -> None:
        self._settling = False
        try:
            changed = self._supervisor.host.heard_hops()
        except Exception as error:  # noqa: BLE001 - as above
            self._doubt(error)
            return
        self._watch()
        if changed:
            self._want()

    def _want(self) -> None:
        self._wanted = True
        self._consider()

    def _consider(self) -> None:
        """Publish what is wanted, as soon as it may be."""
        now = self._supervisor.loop.now()
        if self._supervisor.stopping or not self._wanted:
            return
        if now < self._not_before:
            self._supervisor.loop.after(self._not_before - now, self._consider)
            return
        self._wanted = False
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001 - as above
            self._doubt(error)
        taken = self._supervisor.loop.now() - now
        self._not_before = now + taken + min(LONGEST_PAUSE, max(LEAST_PAUSE, REST * taken))

    def _publish(self) -> None:
        """Give the workers a new generation, where it says anything else than the last."""
        supervisor, generation = self._supervisor, time.monotonic_ns()
        content = supervisor.host.make_hops(generation)
        self._tell(supervisor.host.why_no_hops())
        if content is None:
            return
        said, fd = Hold(role=Role.NEXT_HOPS, value=generation), sealed_memfd("hops", content)
        supervisor.holdings.take(said, fd)
        for worker in supervisor.workers.living:
            worker.send(said, fd)

    def _doubt(self, error: Exception) -> None:
        """Read everything again in a while; workers go on by what they have."""
        self._tell(str(error))
        self._supervisor.host.doubt_hops()
        self._supervisor.loop.after(SECONDS_TO_RETRY, self.follow)

    def _tell(self, reason: str) -> None:
        """Say once why natlb does not know next hops."""
        if reason and reason != self._told:
            words = {"reason": reason}
            self._supervisor.watch.tell("next_hops_unknown", "warning", words)
        self._told = reason
