"""The place of one worker, as its supervisor keeps it: who is in it, and what it is given.

    vacant     nobody is in it: one is forked once all that it needs is held
    equipped   somebody has the queues and the memory of this number
    forwards   and reads tables

The flow table, the counters and the queues are the place's, not the worker's: the next one goes on
where it stopped. Places share nothing: what happens in one leaves the others alone.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import structlog

from natlb.control.backoff import BackOff
from natlb.control.channel import Channel, close_all
from natlb.control.child import Child
from natlb.control.messages import (
    Alive,
    Attach,
    Ended,
    Failed,
    Hold,
    Message,
    Output,
    QueueLost,
    Reading,
    Release,
)
from natlb.control.process import Process, hold
from natlb.control.queues import SIDES, WAYS, has_ways_in, worker_of
from natlb.control.roles import Role
from natlb.control.supervisor_control import read_failure

if TYPE_CHECKING:
    from natlb.control.queues import Way
    from natlb.control.supervisor import Supervisor

STANDARD_ERROR = 2
FREE_FORKS = 32  # that cost milliseconds each, so even many deaths in a row are no long pause
SECONDS_A_FORK = 0.5
SECONDS_TO_LEAVE = 3.0
MEMORY = (Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.EVENTS)
OF_ALL = (Role.LOADS, Role.TABLES, Role.NEXT_HOPS)  # one for every worker

logger = structlog.get_logger()


class WorkerSlot:
    """The place of the worker with one number."""

    def __init__(self, supervisor: Supervisor, index: int) -> None:
        """Be vacant."""
        self.index = index
        self.current: Child | None = None
        self.forwarding = False
        self.restarts = 0
        self.used = False  # a worker was forked, or adopted
        self.is_outdated = False  # it runs other code than we do
        self._supervisor = supervisor
        self._knows = 0  # the digest of the programs that it knows; 0: none
        self._vacant_since: float | None = None
        self._leaving: Child | None = None  # who was asked to
        self._last_pid = 0
        now = supervisor.loop.now()
        self._fork_at = 0.0
        self._backoff = BackOff(now, free_starts=FREE_FORKS, seconds_a_token=SECONDS_A_FORK)

    @property
    def is_ripe(self) -> bool:
        """Whether a worker can be forked for it now."""
        holdings = self._supervisor.holdings
        needed = [*((role, self.index) for role in MEMORY), (Role.LOADS, 0), (Role.TABLES, 0)]
        return (
            self.current is None
            and self._supervisor.loop.now() >= self._fork_at
            and all(place in holdings for place in needed)
            and has_ways_in(holdings, self.index)
        )

    @property
    def is_changing(self) -> bool:
        """Whether one worker is about to take the place of another."""
        if self.current is None:
            return self._supervisor.loop.now() >= self._fork_at
        return self.current is self._leaving or not self.forwarding

    def is_ignorant_of(self, programs: int) -> bool:
        """Return whether somebody is in it who does not know these programs."""
        return self.current is not None and self._knows != programs

    def ask_to_leave(self) -> None:
        """Have the next worker take this one's place, in good order."""
        self.is_outdated = False
        leaving = self.current
        if leaving is None or leaving is self._leaving:
            return
        self._leaving = leaving
        leaving.leave()
        self._supervisor.loop.after(SECONDS_TO_LEAVE, lambda: self._expect_end(leaving))

    def _expect_end(self, leaving: Child) -> None:
        if self.current is leaving:
            leaving.kill()

    def adopt(self) -> None:
        """Watch the worker that another supervisor had, if it lives, and equip it once more.

        The dead one may have got anywhere: a worker that it attached is not disturbed by that.
        """
        self.used = True
        held = self._supervisor.holdings.get(Role.LIFE_CHANNEL, self.index)
        process = hold(held.value, held.stamp) if held else None
        if held is None or process is None:
            self._release_channels()
        else:
            channel = self._supervisor.holdings.get(Role.TABLES_CHANNEL, self.index)
            self._knows = channel.stamp if channel else 0
            worker = self._watch(process, Channel.from_fd(os.dup(held.fd)))
            worker.send(Output(), STANDARD_ERROR)
            self._equip(worker)

    def take_in(self, process: Process, channel: Channel, knows: int) -> None:
        """Make a newborn the worker: give it what it needs, and tell control of it."""
        self._knows = knows
        self._equip(self._watch(process, channel))

    def _watch(self, process: Process, channel: Channel) -> Child:
        self._last_pid = process.pid
        self.current = Child(
            self._supervisor.loop, process, channel, receiver=self._hear, mourner=self._mourn
        )
        return self.current

    def _equip(self, child: Child) -> None:
        """Give a worker all that it needs, and then the word to begin.

        Control knows of it before: a worker that forwards and that nobody knows would be joined by
        a second one over the same memory, once both supervisor and worker were replaced.
        """
        supervisor, process, index = self._supervisor, child.process, self.index
        said = Hold(role=Role.LIFE_CHANNEL, index=index, value=process.pid, stamp=process.started)
        supervisor.hold(said, os.dup(child.channel.fileno()))
        controls_end, workers_end = Channel.pair()
        said = Hold(role=Role.TABLES_CHANNEL, index=index, value=process.pid, stamp=self._knows)
        supervisor.hold(said, controls_end.end.detach())
        for said, fd in supervisor.holdings:
            if is_for(index, said):
                child.send(said, fd)
        child.send(Hold(role=Role.TABLES_CHANNEL, index=index), workers_end.fileno())
        workers_end.close()
        child.send(Attach(index=index, takeover=int(self.used)))
        self.used = True

    def take_ways(self, ways: list[Way]) -> None:
        """Have the worker use new ways in and out, as far as they are its own."""
        own = [(said, fd) for said, fd in ways if is_for(self.index, said)]
        if self.current is None or not own:
            return
        for said, fd in own:
            self.current.send(said, fd)
        self.current.send(Attach(index=self.index, takeover=0))

    def _hear(self, child: Child, message: Message, fds: list[int]) -> None:
        """Hear the worker, which parses what strangers send, and holds no right."""
        try:
            match message:
                case Reading():
                    self._forwards(child, message.generation)
                case QueueLost() if message.role in SIDES:
                    self._supervisor.workers.check_queue(message.role)
                case Alive():
                    self._supervisor.watchdog.answered(child, message)
                case Failed():
                    self._supervisor.child_failed("worker", read_failure(message, fds))
                case _:
                    child.refuse(f"{type(message).__name__} is not its to say")
        finally:
            close_all(fds)

    def _forwards(self, child: Child, generation: int) -> None:
        if self.forwarding:
            return  # new queues taken
        self.forwarding = True
        if self._vacant_since is not None:
            took = round((self._supervisor.loop.now() - self._vacant_since) * 1000, 1)
            words = {"index": self.index, "pid": child.pid, "generation": generation}
            logger.info("worker_replaced", **words, milliseconds=took)
            self._vacant_since = None
        self._supervisor.workers.announce()
        self._supervisor.consider_ready()
        self._supervisor.workers.consider()

    def _mourn(self, child: Child, _status: int | None) -> None:
        workers = self._supervisor.workers
        self.current = None
        self.forwarding = False
        self._vacant_since = self._supervisor.loop.now()
        self._release_channels()
        if child is self._leaving:
            delay = 0.0
        else:
            self.restarts += 1
            self._supervisor.keep_standing()
            delay = self._supervisor.count_death("worker", child, None, self._backoff)
        self._fork_at = self._supervisor.loop.now() + delay
        self._supervisor.loop.after(delay, workers.consider)
        workers.consider()
        workers.announce()

    def note_exit(self, said: Ended) -> None:
        """Report how a worker of this place ended, where it is not as `kill -9` does it."""
        if said.pid != self._last_pid:
            return
        status = said.status - (1 << 32) if said.status >> 31 else said.status
        if status not in {0, -signal.SIGKILL} and self._backoff.worth_a_line:
            logger.warning("worker_exit", pid=said.pid, status=status)

    def _release_channels(self) -> None:
        for role in (Role.TABLES_CHANNEL, Role.LIFE_CHANNEL):
            self._supervisor.release(Release(role=role, index=self.index))


def is_for(worker: int, said: Hold) -> bool:
    """Return whether the worker of this number is given what is held here."""
    if said.role in OF_ALL:
        return True
    return said.role in (*MEMORY, *WAYS) and worker_of(said.index) == worker
