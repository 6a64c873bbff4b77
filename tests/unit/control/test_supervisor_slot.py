"""A worker's place: what it is given, and when the next one comes; the rest needs processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from natlb.control.directory import take_lock
from natlb.control.loop import Loop
from natlb.control.messages import (
    Fork,
    Hold,
    Leave,
    Message,
)
from natlb.control.queues import SIDES, place_index
from natlb.control.roles import MOST_WORKERS, Role
from natlb.control.supervisor import Supervisor
from natlb.control.supervisor_slot import MEMORY, WorkerSlot, is_for
from tests.unit.control.fakes import MODULES, FakeHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class FakeChild:
    """Somebody in a place, or a nursery; remembers what it was told."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.pid = 1
        self.heard: list[Message] = []

    def send(self, message: Message, *_: int) -> None:
        """Hear this."""
        self.heard.append(message)

    def leave(self) -> None:
        """Hear that nobody needs it."""
        self.heard.append(Leave())


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    """Return a supervisor without any process; a nursery that is prepared is a fake."""
    lock = take_lock(folder / "run")
    made = Supervisor(lock, FakeHost(lock.journal), "/x.yaml", MODULES, Loop())
    yield made
    made.workers.forget_unborn()
    made.holdings.close()
    made.lock.release()


def hold(supervisor: Supervisor, role: Role, index: int = 0, value: int = 0) -> None:
    """Hold something there."""
    supervisor.holdings.take(Hold(role=role, index=index, value=value), os.memfd_create("x"))


def hold_all(supervisor: Supervisor, workers: int) -> None:
    """Hold all that so many workers need."""
    for role in (*SIDES, *MEMORY):
        for index in range(workers):
            hold(supervisor, role, index)
    hold(supervisor, Role.LOADS)
    hold(supervisor, Role.TABLES)


def prepare(supervisor: Supervisor) -> FakeChild:
    """Have a nursery, and return it."""
    nursery = FakeChild()
    supervisor.workers.nursery = nursery  # type: ignore[assignment] # all that is used of one
    supervisor.workers._prepared = True
    return nursery


def occupy(slot: WorkerSlot) -> FakeChild:
    """Have somebody in a place, who forwards."""
    worker = FakeChild()
    slot.current = worker  # type: ignore[assignment] # as above
    slot.forwarding = True
    return worker


@pytest.mark.parametrize(
    ("role", "index", "given"),
    [
        (Role.QUEUE_PUBLIC, 1, True),
        (Role.QUEUE_PUBLIC, 0, False),
        (Role.FLOWS, 1, True),
        (Role.OUTPUT_PRIVATE, 1, True),
        (Role.LINK, place_index(1, 3), True),
        (Role.LINK, place_index(0, 1), False),
        (Role.NEXT_HOPS, 0, True),
        (Role.REGISTRY, 1, False),
    ],
)
def test_a_worker_is_given_its_own_and_what_is_everybodys(
    role: Role, index: int, *, given: bool
) -> None:
    """Several of a kind have numbers above the worker's."""
    assert is_for(1, Hold(role=role, index=index)) is given


def test_there_is_a_place_for_each_flow_table(supervisor: Supervisor) -> None:
    """Control says how many; but no more than there can be."""
    for index in (0, 1, MOST_WORKERS):
        hold(supervisor, Role.FLOWS, index)
    supervisor.workers.restore([4, 2])
    supervisor.workers.consider()

    assert list(supervisor.workers.slots) == [0, 1]
    assert supervisor.workers.restarts == [4, 2]
    assert not supervisor.workers.forwarding


def test_a_place_that_lacks_something_waits_and_keeps_no_other_waiting(
    supervisor: Supervisor,
) -> None:
    """One fork at a time."""
    nursery = prepare(supervisor)
    hold_all(supervisor, 3)
    supervisor.holdings.release(Role.QUEUE_PRIVATE, 0)
    supervisor.workers.consider()
    supervisor.workers.consider()

    assert nursery.heard == [Fork()]
    assert supervisor.workers._unborn is not None
    assert supervisor.workers._unborn[0].index == 1


def test_workers_take_the_cpus_of_the_list_in_turn(supervisor: Supervisor) -> None:
    """Where there are more workers, from its beginning again."""
    nursery = prepare(supervisor)
    hold_all(supervisor, 3)
    supervisor.workers.cpus = (5, 2)
    for _ in range(3):
        supervisor.workers.consider()
        assert supervisor.workers._unborn is not None
        occupy(supervisor.workers._unborn[0])
        supervisor.workers.forget_unborn()

    assert nursery.heard == [Fork(cpu=5), Fork(cpu=2), Fork(cpu=5)]


def test_all_forward_or_it_is_not_ready(supervisor: Supervisor) -> None:
    """The share of packets that one has would wait."""
    hold_all(supervisor, 2)
    supervisor.workers.consider()
    occupy(supervisor.workers.slots[0])
    assert not supervisor.workers.forwarding
    occupy(supervisor.workers.slots[1])

    assert supervisor.workers.forwarding


def test_workers_of_other_code_leave_one_after_the_other(supervisor: Supervisor) -> None:
    """The others forward meanwhile."""
    prepare(supervisor)
    hold_all(supervisor, 2)
    supervisor.workers.consider()
    supervisor.workers.forget_unborn()
    slots = supervisor.workers.slots
    first, second = occupy(slots[0]), occupy(slots[1])
    supervisor.workers.renew()
    supervisor.workers.consider()
    supervisor.workers.consider()
    assert (first.heard, second.heard) == ([Leave()], [])

    again = occupy(slots[0])
    supervisor.workers.consider()
    supervisor.workers.consider()
    assert (again.heard, second.heard) == ([], [Leave()])


def test_workers_that_do_not_know_the_programs_leave_too(supervisor: Supervisor) -> None:
    """Once the nursery knows them."""
    prepare(supervisor)
    hold_all(supervisor, 1)
    supervisor.workers.consider()
    supervisor.workers.forget_unborn()
    worker = occupy(supervisor.workers.slots[0])
    hold(supervisor, Role.PROGRAMS, value=7)
    supervisor.workers.consider()
    assert worker.heard == []

    supervisor.workers.taught = 7
    supervisor.workers.consider()
    assert worker.heard == [Leave()]
