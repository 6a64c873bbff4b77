"""The supervisor's side of the workers: one that forwards, and a nursery that makes the next.

    nursery    started -> prepared (code loaded, rights dropped)
    worker     forked by it -> attached (has the queues) -> forwards

A worker is forked when there is none and everything that it needs is held. The flow table, the
counters and the queues are not the worker's: the next one goes on where it stopped.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import structlog

from natlb.control import log
from natlb.control.backoff import BackOff
from natlb.control.channel import Channel, close_all
from natlb.control.child import Child, environment_of
from natlb.control.messages import (
    Alive,
    Attach,
    Ended,
    Failed,
    Fork,
    Forked,
    Hold,
    Learned,
    Message,
    Note,
    Output,
    Prepared,
    Processes,
    QueueLost,
    Reading,
    Release,
)
from natlb.control.process import Process, hold, started_at
from natlb.control.queues import SIDES, WAYS, has_ways_in, is_lost, worker_of
from natlb.control.roles import Role
from natlb.control.supervisor_control import read_failure

if TYPE_CHECKING:
    from natlb.control.queues import Way
    from natlb.control.supervisor import Supervisor

STANDARD_ERROR = 2
WORKER = 0  # the number of the one worker
SECONDS_TO_FORK = 3.0
FREE_FORKS = 32  # that cost milliseconds each, so even many deaths in a row are no long pause
SECONDS_A_FORK = 0.5
SECONDS_TO_LEAVE = 3.0
NEEDED = (Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.EVENTS, Role.TABLES)

logger = structlog.get_logger()


class WorkerKeeper:
    """The worker, and the nursery."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is started yet."""
        self.current: Child | None = None
        self.nursery: Child | None = None
        self.forwarding = False
        self.compiled = True
        self.restarts = 0
        self._supervisor = supervisor
        self._prepared = False
        self._unborn: Channel | None = None  # our end towards a worker that is being forked
        self.used = False  # a worker was forked, or adopted
        self.taught = 0  # the digest of the programs that the nursery knows; 0: none
        self._known = 0  # the same of the worker
        self._vacant_since: float | None = None
        self._leaving: Child | None = None  # the worker that was asked to
        self._is_outdated = False  # worker and control run other code
        self._is_unfiltered = False  # workers are held to no list of system calls, and it was said
        self._fork_at = 0.0
        self._rebuild_at = 0.0
        now = supervisor.loop.now()
        self._nursery_backoff = BackOff(now)
        self._backoff = BackOff(now, free_starts=FREE_FORKS, seconds_a_token=SECONDS_A_FORK)
        self._queue_backoff = BackOff(now)

    @property
    def prepared(self) -> bool:
        """Whether the nursery has loaded the packet path."""
        return self._prepared

    def start_nursery(self) -> None:
        """Start a nursery, if there is none."""
        if self.nursery is None and not self._supervisor.stopping:
            self._prepared, self.taught = False, 0
            self.nursery = Child.start(
                self._supervisor.loop,
                self._supervisor.modules.nursery,
                environment_of(self._supervisor.lock.token),
                receiver=self._hear_nursery,
                mourner=self._mourn_nursery,
            )
            self._supervisor.programs.begin(self.nursery)

    def replace_nursery(self, learner: Child, prepared: Prepared, digest: int) -> None:
        """Have the next workers come from this nursery, the very next one at once."""
        if self.nursery is not None:
            self.nursery.hand_to(ignore_message, lambda *_: None)
            self.nursery.leave()
        self.forget_unborn()  # of the old one
        learner.hand_to(self._hear_nursery, self._mourn_nursery)
        self.nursery, self._prepared, self.taught = learner, True, digest
        self.compiled = bool(prepared.compiled)
        self.consider()

    def forget_unborn(self) -> None:
        """Close our end towards a worker that is being forked: it is left alone, and ends."""
        if self._unborn is not None:
            self._unborn.close()
            self._unborn = None

    def renew(self) -> None:
        """Have a worker of this code take over, once there is a nursery that can make one."""
        self._is_outdated = True

    def _replace_other_code(self) -> None:
        programs, leaving = self._supervisor.holdings.get(Role.PROGRAMS), self.current
        is_taught = programs is None or self.taught == programs.value
        if not self._is_outdated or not self._prepared or not is_taught:
            return
        self._is_outdated = False
        self._supervisor.control.replace()
        if leaving is not None and leaving is not self._leaving:
            self._leaving = leaving
            leaving.leave()
            self._supervisor.loop.after(SECONDS_TO_LEAVE, lambda: self._expect_end(leaving))

    def _replace_outdated(self) -> None:
        """Ask a worker to leave that does not know the programs, once the nursery does.

        Control gives it no tables that name them; the next worker comes with those.
        """
        programs, leaving = self._supervisor.holdings.get(Role.PROGRAMS), self.current
        if leaving is None or leaving is self._leaving or programs is None:
            return
        if not self._prepared or self.taught != programs.value or self._known == programs.value:
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
        held = self._supervisor.holdings.get(Role.LIFE_CHANNEL, WORKER)
        process = hold(held.value, held.stamp) if held else None
        if held is None or process is None:
            self._release_channels()
        else:
            channel = self._supervisor.holdings.get(Role.TABLES_CHANNEL, WORKER)
            self._known = channel.stamp if channel else 0
            worker = self._watch(process, Channel.from_fd(os.dup(held.fd)))
            worker.send(Output(), STANDARD_ERROR)
            self._equip(worker)

    def _watch(self, process: Process, channel: Channel) -> Child:
        self.current = Child(
            self._supervisor.loop, process, channel, receiver=self._hear, mourner=self._mourn
        )
        return self.current

    def consider(self) -> None:
        """Have a worker forked where there is none, and all that it needs."""
        self._replace_outdated()
        self._replace_other_code()
        if self.current or self._unborn or not self.nursery or not self._prepared:
            return
        holdings = self._supervisor.holdings
        is_whole = all((role, WORKER) in holdings for role in NEEDED)
        if not (is_whole and has_ways_in(holdings, WORKER)):
            return
        programs = holdings.get(Role.PROGRAMS)
        if programs is not None and self.taught != programs.value:
            return
        if self._supervisor.loop.now() < self._fork_at or self._supervisor.stopping:
            return
        self._unborn, theirs = Channel.pair()
        self.nursery.send(Fork(), theirs.fileno())
        theirs.close()
        expected = self._unborn
        self._supervisor.loop.after(SECONDS_TO_FORK, lambda: self._expect_birth(expected))

    def _expect_birth(self, expected: Channel) -> None:
        """End a nursery that hangs over a fork: another takes its place."""
        if self._unborn is expected and self.nursery is not None:
            logger.warning("child_hung", pid=self.nursery.pid, action="kill")
            self.nursery.kill()

    def _attach(self, pid: int, pidfd: int) -> None:
        """Make a newborn the worker: give it what it needs, and tell control of it."""
        assert self._unborn is not None
        channel, self._unborn = self._unborn, None
        try:
            process = Process(pid=pid, started=started_at(pid), pidfd=pidfd)
        except OSError:
            os.close(pidfd)
            channel.close()
            self.consider()
            return
        self._known = self.taught
        self._equip(self._watch(process, channel))

    def _equip(self, child: Child) -> None:
        """Give a worker all that it needs, and then the word to begin.

        Control knows of it before: a worker that forwards and that nobody knows would be joined by
        a second one over the same memory, once both supervisor and worker were replaced.
        """
        supervisor, process = self._supervisor, child.process
        said = Hold(role=Role.LIFE_CHANNEL, index=WORKER, value=process.pid, stamp=process.started)
        supervisor.hold(said, os.dup(child.channel.fileno()))
        controls_end, workers_end = Channel.pair()
        said = Hold(role=Role.TABLES_CHANNEL, index=WORKER, value=process.pid, stamp=self._known)
        supervisor.hold(said, controls_end.end.detach())
        for said, fd in supervisor.holdings:
            if is_for(WORKER, said):
                child.send(said, fd)
        child.send(Hold(role=Role.TABLES_CHANNEL, index=WORKER), workers_end.fileno())
        workers_end.close()
        child.send(Attach(index=WORKER, takeover=int(self.used)))
        self.used = True

    def take_ways(self, ways: list[Way]) -> None:
        """Hold new ways in and out, and have the worker use them."""
        for said, fd in ways:
            self._supervisor.hold(said, fd)
            if self.current is not None:
                self.current.send(said, fd)
        if self.current is not None and ways:
            self.current.send(Attach(index=WORKER, takeover=0))
        self.consider()

    def announce(self) -> None:
        """Tell control who is at work."""
        now = Processes(
            index=WORKER,
            ready=int(self.forwarding and self._supervisor.watch.is_whole),
            compiled=int(self.compiled),
            supervisor=os.getpid(),
            worker=self.current.pid if self.current else 0,
            restarts=self.restarts,
        )
        self._supervisor.control.tell(now)

    def _hear_nursery(self, child: Child, message: Message, fds: list[int]) -> None:
        """Hear the nursery, which holds no right."""
        try:
            match message:
                case Prepared():
                    self._prepare(child, message)
                case Alive():
                    self._supervisor.watchdog.answered(child, message)
                case Forked() if self._unborn is not None:
                    self._attach(message.pid, fds.pop())
                case Learned():
                    self.taught = message.value  # or it never will know them: others serve
                    self._supervisor.programs.learned(child, message, fds)
                    self.consider()
                case Ended():
                    self._note_exit(message)
                case Note():
                    log.say("".join(c for c in message.text if c.isprintable()))
                    self._supervisor.notifier.status(message.text)
                case Failed():
                    self._supervisor.child_failed("nursery", read_failure(message, fds))
                case _:
                    child.refuse(f"{type(message).__name__} is not its to say")
        finally:
            close_all(fds)

    def _prepare(self, child: Child, said: Prepared) -> None:
        self._prepared = True
        self._supervisor.programs.loaded(child)
        self.compiled = bool(said.compiled)
        if not said.dropped:
            logger.info("workers_keep_uid", uid=os.getuid())
        if said.text and not self._is_unfiltered:
            self._is_unfiltered = True
            reason, _, fix = said.text.partition("\0")
            logger.warning("workers_unfiltered", reason=reason, fix=fix)
        self._supervisor.keep_standing()
        self.consider()

    def _hear(self, child: Child, message: Message, fds: list[int]) -> None:
        """Hear the worker, which parses what strangers send, and holds no right."""
        try:
            match message:
                case Reading():
                    self._forwards(child, message.generation)
                case QueueLost() if message.role in SIDES:
                    self.check_queue(message.role)
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
            logger.info("worker_replaced", pid=child.pid, generation=generation, milliseconds=took)
            self._vacant_since = None
        self.announce()
        self._supervisor.consider_ready()

    def _mourn(self, child: Child, _status: int | None) -> None:
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
        self._supervisor.loop.after(delay, self.consider)
        self.consider()
        self.announce()

    def _mourn_nursery(self, child: Child, status: int | None) -> None:
        self.nursery = None
        self._supervisor.programs.nursery_died(child)
        self.forget_unborn()
        delay = self._supervisor.count_death("nursery", child, status, self._nursery_backoff)
        self._supervisor.loop.after(delay, self.start_nursery)

    def _note_exit(self, said: Ended) -> None:
        """Report how a worker ended, where it is not as `kill -9` does it."""
        status = said.status - (1 << 32) if said.status >> 31 else said.status
        if status not in {0, -signal.SIGKILL} and self._backoff.worth_a_line:
            logger.warning("worker_exit", pid=said.pid, status=status)

    def _release_channels(self) -> None:
        for role in (Role.TABLES_CHANNEL, Role.LIFE_CHANNEL):
            self._supervisor.release(Release(role=role, index=WORKER))

    def check_queues(self) -> None:
        """Look whether the devices still stand: where no worker runs, nobody else would notice."""
        for role in SIDES:
            self.check_queue(role)

    def check_queue(self, role: Role) -> None:
        """Make the device of this side again where it is gone."""
        held = self._supervisor.holdings.get(role, WORKER)
        if held is not None and is_lost(held.fd):
            self.rebuild(role)

    def rebuild(self, role: Role) -> None:
        """Make the device of this side again, and say so; not at once where that was in vain."""
        now = self._supervisor.loop.now()
        if now < self._rebuild_at:
            return
        self._rebuild_at = now + self._queue_backoff.died(now)
        words = {"side": role.name.removeprefix("QUEUE_").lower()}
        kind = "device_rebuilt"
        try:
            self.take_ways(self._supervisor.host.rebuild(role))
        except Exception as error:  # noqa: BLE001 - the host refuses now and may not a second later
            kind, words["reason"] = "device_not_rebuilt", str(error)
        if self._queue_backoff.worth_a_line:
            self._supervisor.watch.tell(kind, "warning", words)


def is_for(worker: int, said: Hold) -> bool:
    """Return whether the worker of this number is given what is held here."""
    if said.role is Role.NEXT_HOPS:
        return True
    return said.role in (*NEEDED, *WAYS) and worker_of(said.index) == worker


def ignore_message(_child: Child, _message: Message, fds: list[int]) -> None:
    """Close what came with the last words of a child that is not needed any more."""
    close_all(fds)
