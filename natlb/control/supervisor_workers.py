"""The supervisor's side of the workers: a place for each, and a nursery that makes the next.

    nursery    started -> prepared (code loaded, rights dropped)
    worker     forked by it into a vacant place (`supervisor_slot`)

There are as many places as control has made flow tables. One worker is forked at a time, which
takes milliseconds; and where all are to be replaced, by other code or for other programs, one
follows the other, so that never more than one place is without a worker.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from natlb.control import log
from natlb.control.backoff import BackOff
from natlb.control.channel import Channel, close_all
from natlb.control.child import Child, environment_of
from natlb.control.messages import (
    NO_CPU,
    Alive,
    Ended,
    Failed,
    Fork,
    Forked,
    Learned,
    Message,
    Note,
    Prepared,
    Processes,
)
from natlb.control.process import Process, started_at
from natlb.control.queues import SIDES, is_lost
from natlb.control.roles import MOST_WORKERS, Role
from natlb.control.supervisor_control import read_failure
from natlb.control.supervisor_slot import WorkerSlot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.control.queues import Way
    from natlb.control.supervisor import Supervisor

SECONDS_TO_FORK = 3.0

logger = structlog.get_logger()


class WorkerKeeper:
    """The workers' places, and the nursery."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is started yet."""
        self.slots: dict[int, WorkerSlot] = {}
        self.nursery: Child | None = None
        self.compiled = True
        self.cpus: tuple[int, ...] = ()  # that workers are pinned to, in turn; none: to no CPU
        self.taught = 0  # the digest of the programs that the nursery knows; 0: none
        self._supervisor = supervisor
        self._prepared = False
        self._unborn: tuple[WorkerSlot, Channel] | None = None  # our end towards who is forked
        self._restarts: Sequence[int] = ()  # of the places, under the supervisor before
        self._is_outdated = False  # workers and control run other code
        self._is_unfiltered = False  # workers are held to no list of system calls, and it was said
        self._rebuild_at = 0.0
        now = supervisor.loop.now()
        self._nursery_backoff = BackOff(now)
        self._queue_backoff = BackOff(now)

    @property
    def prepared(self) -> bool:
        """Whether the nursery has loaded the packet path."""
        return self._prepared

    @property
    def forwarding(self) -> bool:
        """Whether every worker forwards."""
        return bool(self.slots) and all(slot.forwarding for slot in self.slots.values())

    @property
    def used(self) -> bool:
        """Whether a worker was forked, or adopted."""
        return any(slot.used for slot in self.slots.values())

    @property
    def restarts(self) -> list[int]:
        """How often each worker had to be replaced, by its number."""
        return [slot.restarts for slot in self.slots.values()]

    @property
    def living(self) -> list[Child]:
        """The workers that there are."""
        return [slot.current for slot in self.slots.values() if slot.current is not None]

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
            self._unborn[1].close()
            self._unborn = None

    def renew(self) -> None:
        """Have workers of this code take over, once there is a nursery that can make them."""
        self._is_outdated = True

    def restore(self, restarts: Sequence[int]) -> None:
        """Go on counting where another supervisor stopped."""
        self._restarts = restarts

    def adopt(self) -> None:
        """Watch the workers that another supervisor had, as far as they live."""
        self._find_slots()
        for slot in self.slots.values():
            slot.adopt()

    def _find_slots(self) -> None:
        """Have a place for each flow table."""
        for said, _ in self._supervisor.holdings:
            is_new = said.role is Role.FLOWS and said.index not in self.slots
            if is_new and said.index < MOST_WORKERS:
                slot = self.slots[said.index] = WorkerSlot(self._supervisor, said.index)
                if said.index < len(self._restarts):
                    slot.restarts = self._restarts[said.index]

    def consider(self) -> None:
        """Have a worker forked where there is none, and all that it needs."""
        self._find_slots()
        if not self._is_able():
            return
        self._replace_other_code()
        self._replace_one()
        slot = next((each for each in self.slots.values() if each.is_ripe), None)
        if slot is None or self._unborn is not None or self.nursery is None:
            return
        ours, theirs = Channel.pair()
        self._unborn = slot, ours
        cpu = self.cpus[slot.index % len(self.cpus)] if self.cpus else NO_CPU
        self.nursery.send(Fork(cpu=cpu), theirs.fileno())
        theirs.close()
        self._supervisor.loop.after(SECONDS_TO_FORK, lambda: self._expect_birth(ours))

    def _is_able(self) -> bool:
        """Return whether the nursery can make such workers as are needed now."""
        programs = self._supervisor.holdings.get(Role.PROGRAMS)
        is_taught = programs is None or self.taught == programs.value
        is_there = self.nursery is not None and self._prepared
        return is_there and is_taught and not self._supervisor.stopping

    def _replace_other_code(self) -> None:
        """Have all that runs other code replaced, now that there is a nursery of ours."""
        if self._is_outdated:
            self._is_outdated = False
            for slot in self.slots.values():
                slot.is_outdated = slot.current is not None
            self._supervisor.control.replace()

    def _replace_one(self) -> None:
        """Ask a worker to leave that runs other code or does not know the programs.

        Control gives those no tables that name them; the next worker comes with those. One at a
        time: the others forward meanwhile.
        """
        if any(slot.is_changing for slot in self.slots.values()):
            return
        programs = self._supervisor.holdings.get(Role.PROGRAMS)
        for slot in self.slots.values():
            if slot.is_outdated or (programs and slot.is_ignorant_of(programs.value)):
                slot.ask_to_leave()
                return

    def _expect_birth(self, expected: Channel) -> None:
        """End a nursery that hangs over a fork: another takes its place."""
        is_unborn = self._unborn is not None and self._unborn[1] is expected
        if is_unborn and self.nursery is not None:
            logger.warning("child_hung", pid=self.nursery.pid, action="kill")
            self.nursery.kill()

    def _attach(self, pid: int, pidfd: int) -> None:
        """Make a newborn the worker of the place that it was forked for."""
        assert self._unborn is not None
        (slot, channel), self._unborn = self._unborn, None
        try:
            process = Process(pid=pid, started=started_at(pid), pidfd=pidfd)
        except OSError:
            os.close(pidfd)
            channel.close()
        else:
            slot.take_in(process, channel, self.taught)
        self.consider()

    def take_ways(self, ways: list[Way]) -> None:
        """Hold new ways in and out, and have the workers use them."""
        for said, fd in ways:
            self._supervisor.hold(said, fd)
        for slot in self.slots.values():
            slot.take_ways(ways)
        self.consider()

    def announce(self) -> None:
        """Tell control who is at work."""
        is_ready = self.forwarding and self._supervisor.watch.is_whole
        for index in self.slots or (0,):
            slot = self.slots.get(index)
            now = Processes(
                index=index,
                ready=int(is_ready),
                compiled=int(self.compiled),
                supervisor=os.getpid(),
                worker=slot.current.pid if slot and slot.current else 0,
                restarts=slot.restarts if slot else 0,
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
                    for slot in self.slots.values():
                        slot.note_exit(message)
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

    def _mourn_nursery(self, child: Child, status: int | None) -> None:
        self.nursery = None
        self._supervisor.programs.nursery_died(child)
        self.forget_unborn()
        delay = self._supervisor.count_death("nursery", child, status, self._nursery_backoff)
        self._supervisor.loop.after(delay, self.start_nursery)

    def check_queues(self) -> None:
        """Look whether the devices still stand: where no worker runs, nobody else would notice."""
        for role in SIDES:
            self.check_queue(role)

    def check_queue(self, role: Role) -> None:
        """Make the device of this side again where it is gone."""
        held = self._supervisor.holdings.get(role)
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


def ignore_message(_child: Child, _message: Message, fds: list[int]) -> None:
    """Close what came with the last words of a child that is not needed any more."""
    close_all(fds)
