"""The supervisor's watch over the host: when to look, and who is told what was found.

    the kernel speaks   wait a moment for what else it has to say, hear it all, look if it matters
    nobody speaks       look at natlb's own every few seconds (some things change in silence), at
                        everything now and then

Looks are paced by what they cost: in a storm of news natlb spends a part of a core, and what it
has not heard of is seen by the next look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    Hold,
    Told,
)
from natlb.control.queues import OUTPUTS, SIDES
from natlb.control.roles import Role

if TYPE_CHECKING:
    from natlb.control.supervisor import Supervisor
    from natlb.control.supervisor_network import Found

SECONDS_TO_SETTLE = 0.1
SECONDS_A_STANDING_LOOK = 4.0
SECONDS_A_FULL_LOOK = 30.0
LEAST_PAUSES = {False: 0.2, True: 1.0}  # by whether everything is looked at
REST = 5.0  # times as long as a look took
LONGEST_PAUSE = 3.0  # so that every repair comes within 5 s

logger = structlog.get_logger()


class HostWatch:
    """Looks at the host when the kernel says that it changed, and now and then."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is watched yet."""
        self._supervisor = supervisor
        self._watched: list[int] = []
        self._settling = self._following = False
        self._standing, self._everything = False, False  # what is to be looked at
        self._not_before = {False: 0.0, True: 0.0}
        self._told: dict[str, str] = {}  # the last failure of a kind, until it succeeds
        self.is_whole = True

    def follow(self) -> None:
        """Watch the host that a plan was applied to, from now on."""
        self._watch()
        if not self._following:
            self._following = True
            self._supervisor.loop.after(SECONDS_A_STANDING_LOOK, self._look_around)
            self._supervisor.loop.after(SECONDS_A_FULL_LOOK, self._look_everywhere)

    def _watch(self) -> None:
        loop = self._supervisor.loop
        for fd in self._watched:
            loop.ignore(fd)
        self._watched = [] if self._settling else self._supervisor.host.watched()
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
            standing, everything = self._supervisor.host.heard()
        except Exception as error:  # noqa: BLE001 - a look in a while finds what was not heard
            self._tell_failure("hear", error)
            standing = everything = False
        else:
            self._told.pop("hear", None)
        self._watch_again()
        self._supervisor.workers.check_queues()  # what costs nothing waits for no look
        self._want(standing=standing, everything=everything)

    def _watch_again(self) -> None:
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - as above; the next full look tries again
            self._tell_failure("watch", error)
        else:
            self._told.pop("watch", None)

    def _look_around(self) -> None:
        self._supervisor.loop.after(SECONDS_A_STANDING_LOOK, self._look_around)
        self._want(standing=True, everything=False)

    def _look_everywhere(self) -> None:
        self._supervisor.loop.after(SECONDS_A_FULL_LOOK, self._look_everywhere)
        if not self._settling:
            self._watch_again()  # a namespace may be another one of the same name
        self._want(standing=True, everything=True)

    def _want(self, *, standing: bool, everything: bool) -> None:
        """Look at this as soon as it may be looked at."""
        self._standing |= standing or everything
        self._everything |= everything
        self._consider()

    def _consider(self) -> None:
        now = self._supervisor.loop.now()
        if self._supervisor.stopping or not self._standing:
            return
        if now < self._not_before[False]:
            self._supervisor.loop.after(self._not_before[False] - now, self._consider)
            return
        everything = self._everything and now >= self._not_before[True]
        self._standing = self._everything = self._everything and not everything
        self._look(everything=everything)
        if self._everything:
            wait = max(0.0, self._not_before[True] - self._supervisor.loop.now())
            self._supervisor.loop.after(wait, self._consider)

    def _look(self, *, everything: bool) -> None:
        loop = self._supervisor.loop
        begun = loop.now()
        try:
            found = self._supervisor.host.look(begun, everything=everything)
        except Exception as error:  # noqa: BLE001 - the host refuses now and may not a moment later
            self._tell_failure("look", error)
        else:
            self._told.pop("look", None)
            self._take(found)
        now = loop.now()
        for kind in (False, True) if everything else (False,):
            pause = max(LEAST_PAUSES[kind], (now - begun) * REST)
            self._not_before[kind] = now + min(LONGEST_PAUSE, pause)

    def _take(self, found: Found) -> None:
        """Pass on what a look found."""
        for kind, level, words in found.facts:
            self.tell(kind, level, words)
        if found.plan is not None:
            self._supervisor.hold(Hold(role=Role.HOST_PLAN), sealed_memfd("plan", found.plan))
        for role in found.lost:
            self._supervisor.workers.rebuild(role)
        self._renew()
        if found.is_whole is not self.is_whole:
            self.is_whole = found.is_whole
            self._supervisor.workers.announce()

    def _renew(self) -> None:
        try:
            self.renew_ways()
        except Exception as error:  # noqa: BLE001 - as in `_look`
            self._tell_failure("renew", error)
        else:
            self._told.pop("renew", None)

    def renew_ways(self) -> None:
        """Have workers receive from the interfaces that are there what the plan says."""
        supervisor = self._supervisor
        roles = (*SIDES, Role.LINK, Role.HOST, *OUTPUTS)
        held = [(said, fd) for said, fd in supervisor.holdings if said.role in roles]
        supervisor.workers.take_ways(supervisor.host.renew(held))
        supervisor.hops.follow()  # of interfaces, and of addresses that it answers for

    def tell(self, kind: str, level: str, words: dict[str, str]) -> None:
        """Log a past fact, and have control keep it as an event."""
        getattr(logger, level)(kind, **words)
        self._supervisor.control.tell(Told.of(kind, level, words))

    def _tell_failure(self, what: str, error: Exception) -> None:
        if str(error) != self._told.get(what):
            self._told[what] = str(error)
            self.tell("host_not_seen", "warning", {"reason": str(error)})
