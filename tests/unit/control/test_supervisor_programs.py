"""Programs between control, which asks, and nurseries, which learn: over real processes."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control import supervisor_programs
from natlb.control.channel import Channel
from natlb.control.child import Child
from natlb.control.directory import take_lock
from natlb.control.loop import Loop
from natlb.control.memory import digest_of, sealed_memfd
from natlb.control.messages import (
    Done,
    Hold,
    Learn,
    Message,
    Refused,
    Unlearn,
)
from natlb.control.process import hold, processes_with
from natlb.control.roles import Role
from natlb.control.supervisor import Supervisor
from natlb.control.supervisor_slot import MEMORY
from tests.unit.control.fakes import MODULES, FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = b"a program"


class Kept:
    """A supervisor whose control is the test itself."""

    def __init__(self, folder: Path) -> None:
        """Start a nursery."""
        lock = take_lock(folder / "run")
        self.loop = Loop()
        self.supervisor = Supervisor(lock, FakeHost(lock.journal), "/x.yaml", MODULES, self.loop)
        self.workers, self.programs = self.supervisor.workers, self.supervisor.programs
        ours, self.channel = Channel.pair()
        me = hold(os.getpid())
        assert me is not None
        keeper = self.supervisor.control
        self.control = keeper.child = Child(
            self.loop, me, ours, receiver=keeper._receive, mourner=lambda *_: None
        )
        self.heard: list[Message] = []
        self.workers.start_nursery()
        self.until(lambda: self.workers._prepared)

    def until(self, what: Callable[[], Any]) -> Any:
        """Go on until this is true; return it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if answer := what():
                return answer
            self.loop.step(0.01)
            while select.select([self.channel], [], [], 0)[0]:
                received = self.channel.receive()
                assert received is not None
                self.heard.append(received[0])
                for fd in received[1]:
                    os.close(fd)
        pytest.fail("it does not come")

    def learn(self, programs: bytes, serial: int = 5) -> None:
        """Ask as control does."""
        memfd = sealed_memfd("programs", programs)
        self.channel.send(Learn(serial=serial), memfd)
        os.close(memfd)

    def serve(self, programs: bytes) -> None:
        """Say that these are in force."""
        memfd = sealed_memfd("programs", programs)
        self.channel.send(Hold(role=Role.PROGRAMS, value=digest_of(programs)), memfd)
        os.close(memfd)

    def answer(self) -> Message:
        """Return what a request was answered with: the first answer, however many are there."""
        found: list[Message] = self.until(
            lambda: [each for each in self.heard if isinstance(each, Done | Refused)]
        )
        self.heard.remove(found[0])
        return found[0]

    def publish(self) -> None:
        """Have all that a worker needs held."""
        for role in (Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE):
            self.supervisor.holdings.take(Hold(role=role), os.eventfd(0, os.EFD_NONBLOCK))
        for role in (*MEMORY, Role.LOADS, Role.TABLES):
            memfd = os.memfd_create(role.name)
            self.channel.send(Hold(role=role, value=7), memfd)
            os.close(memfd)
        self.until(lambda: self.workers.forwarding)

    def leaving(self) -> set[int]:
        """Return the processes that were told to leave, or killed, and live on."""
        staying = (self.workers.nursery, self.programs._learner, *self.workers.living)
        known = {each.pid for each in staying if each is not None}
        found = list(processes_with(self.supervisor.lock.token))
        for process in found:
            process.forget()
        return {process.pid for process in found} - known

    def close(self) -> None:
        """Leave nothing."""
        self.supervisor.control.child = None
        self.until(lambda: not self.leaving())
        for _ in range(5):
            self.loop.step(0.01)  # who ended a moment ago is buried
        self.supervisor.end()
        self.control._forget()
        self.control.process.forget()
        self.channel.close()


@pytest.fixture
def kept(folder: Path) -> Iterator[Kept]:
    """Return a supervisor with a nursery that is prepared."""
    made = Kept(folder)
    yield made
    made.close()


def test_before_the_first_worker_the_one_nursery_learns(kept: Kept) -> None:
    """What it forks then knows the programs."""
    nursery = kept.workers.nursery
    kept.learn(GOOD)

    assert kept.answer() == Done(serial=5)
    kept.serve(GOOD)
    kept.publish()
    assert kept.workers.nursery is nursery
    assert kept.workers.taught == digest_of(GOOD)


def test_a_broken_one_is_refused_and_the_nursery_stays(kept: Kept) -> None:
    """It forks workers that know what natlb has."""
    kept.learn(b"broken")

    assert kept.answer() == Refused(serial=5, exit_code=65, text="mine.py:1:1: broken\0mend it")
    kept.publish()
    assert kept.workers.slots[0].current is not None


def test_another_nursery_learns_and_takes_the_place(kept: Kept) -> None:
    """Nothing has changed before control says so; then nursery and worker have."""
    kept.publish()
    nursery, worker = kept.workers.nursery, kept.workers.slots[0].current
    kept.learn(GOOD)

    assert kept.answer() == Done(serial=5)
    assert (kept.workers.nursery, kept.workers.slots[0].current) == (nursery, worker)

    kept.serve(GOOD)
    kept.until(
        lambda: kept.workers.slots[0].current not in (None, worker) and kept.workers.forwarding
    )
    assert nursery is not kept.workers.nursery
    assert kept.workers.taught == digest_of(GOOD)
    assert kept.workers.restarts == [0]


@pytest.mark.parametrize(
    ("programs", "said"), [(b"broken", "mine.py:1:1: broken"), (b"deadly", "the nursery died")]
)
def test_what_a_learner_meets_is_control_to_know(kept: Kept, programs: bytes, said: str) -> None:
    """The others go on."""
    kept.publish()
    before = kept.workers.nursery, kept.workers.slots[0].current
    kept.learn(programs)
    answer = kept.answer()

    assert isinstance(answer, Refused)
    assert answer.text.startswith(said)
    assert (kept.workers.nursery, kept.workers.slots[0].current) == before


def test_one_that_never_compiles_is_given_up(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time that no honest one takes."""
    monkeypatch.setattr(supervisor_programs, "SECONDS_TO_LEARN", 0.2)
    kept.publish()
    kept.learn(b"endless")
    answer = kept.answer()

    assert isinstance(answer, Refused)
    assert "does not compile within 0.2 s" in answer.text


def test_a_later_request_ends_the_one_before(kept: Kept) -> None:
    """One learns at a time."""
    kept.publish()
    kept.learn(b"endless", serial=5)
    kept.learn(GOOD, serial=6)
    first = kept.answer()

    assert isinstance(first, Refused)
    assert first.serial == 5
    assert kept.answer() == Done(serial=6)


def test_what_is_no_sealed_memfd_is_refused(kept: Kept) -> None:
    """Control may have been taken over."""
    memfd = os.memfd_create("open")
    kept.channel.send(Learn(serial=9), memfd)
    os.close(memfd)
    answer = kept.answer()

    assert isinstance(answer, Refused)
    assert answer.serial == 9


def test_a_new_nursery_learns_what_is_in_force(kept: Kept) -> None:
    """A worker is forked once it has."""
    kept.learn(GOOD)
    kept.answer()
    kept.serve(GOOD)
    kept.publish()
    nursery = kept.workers.nursery
    assert nursery is not None
    nursery.process.signal(signal.SIGKILL)
    kept.until(lambda: kept.workers.nursery not in (None, nursery) and kept.workers.taught)

    assert kept.workers.taught == digest_of(GOOD)


def test_programs_that_nobody_learned_are_learned_where_they_serve(kept: Kept) -> None:
    """Another supervisor may have had them learned; broken ones stop no worker."""
    kept.publish()
    kept.serve(b"broken")
    kept.until(lambda: kept.workers.taught == digest_of(b"broken"))

    kept.until(lambda: kept.workers.forwarding)


def test_a_worker_is_replaced_where_its_learner_died_before_it_served(kept: Kept) -> None:
    """The other nursery learns instead; the worker has no tables, and asks for none."""
    kept.publish()
    worker = kept.workers.slots[0].current
    kept.learn(GOOD)
    kept.answer()
    learner = kept.programs._learner
    assert learner is not None
    learner.process.signal(signal.SIGKILL)
    kept.until(lambda: kept.programs._learner is None)
    kept.serve(GOOD)
    kept.until(
        lambda: kept.workers.slots[0].current not in (None, worker) and kept.workers.forwarding
    )

    assert kept.workers.taught == digest_of(GOOD)
    assert kept.workers.restarts == [0]


def test_a_nursery_that_begins_anew_replaces_no_worker_that_knows_enough(kept: Kept) -> None:
    """It learns what that knows."""
    kept.learn(GOOD)
    kept.answer()
    kept.serve(GOOD)
    kept.publish()
    worker, nursery = kept.workers.slots[0].current, kept.workers.nursery
    assert nursery is not None
    nursery.process.signal(signal.SIGKILL)
    kept.until(lambda: kept.workers.nursery not in (None, nursery) and kept.workers.taught)
    for _ in range(20):
        kept.loop.step(0.01)

    assert kept.workers.slots[0].current is worker


@pytest.mark.parametrize("how", ["said", "dead"])
def test_what_was_learned_in_vain_is_forgotten(kept: Kept, how: str) -> None:
    """The host may refuse what came with it, and control may die."""
    kept.publish()
    kept.learn(GOOD)
    kept.answer()
    learner = kept.programs._learner
    assert learner is not None
    if how == "said":
        kept.channel.send(Unlearn())
    else:
        kept.supervisor.control._mourn(kept.control, None)
        kept.supervisor.control.child = kept.control
        kept.supervisor.stopping = True  # no other control is started
    kept.until(lambda: kept.programs._learner is None)

    assert learner.process.ended(10)


def test_an_answer_is_not_given_to_another_control(kept: Kept) -> None:
    """It counts its requests anew."""
    kept.publish()
    kept.learn(b"endless")
    kept.until(lambda: kept.programs._learner)
    kept.programs.forget()
    kept.learn(GOOD, serial=6)

    assert kept.answer() == Done(serial=6)


def test_the_one_nursery_that_never_compiles_is_given_up(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first start, too."""
    monkeypatch.setattr(supervisor_programs, "SECONDS_TO_LEARN", 0.2)
    nursery = kept.workers.nursery
    kept.learn(b"endless")
    answer = kept.answer()

    assert isinstance(answer, Refused)
    assert "does not compile within 0.2 s" in answer.text
    kept.until(lambda: kept.workers.nursery is not nursery)


def test_the_one_nursery_that_dies_over_them_says_so(kept: Kept) -> None:
    """Control waits for an answer."""
    kept.learn(b"deadly")
    answer = kept.answer()

    assert isinstance(answer, Refused)
    assert answer.text.startswith("the nursery died")


@pytest.mark.parametrize("programs", [b"endless", b"deadly"])
def test_what_cannot_be_learned_any_more_stops_no_worker(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, programs: bytes
) -> None:
    """A nursery that does not try takes the place of those that hung or died."""
    monkeypatch.setattr(supervisor_programs, "SECONDS_TO_LEARN", 0.2)
    kept.publish()
    kept.supervisor._ready = True
    worker = kept.workers.slots[0].current
    kept.serve(programs)
    kept.until(
        lambda: kept.workers.slots[0].current not in (None, worker) and kept.workers.forwarding
    )

    assert kept.workers.prepared
    assert kept.workers.taught == digest_of(programs)


def test_a_learner_that_hangs_over_its_code_is_given_up(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never says that it has loaded it."""
    monkeypatch.setattr(supervisor_programs, "SECONDS_TO_LOAD", 0.2)
    kept.publish()
    kept.learn(b"endless")
    learner = kept.programs._learner
    assert learner is None
    kept.until(lambda: kept.programs._learner)
    assert kept.programs._learner is not None
    kept.programs._learner.process.signal(signal.SIGSTOP)
    answer = kept.answer()

    assert isinstance(answer, Refused)
    assert "within 0.2 s" in answer.text
