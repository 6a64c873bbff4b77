"""A worker over a packet path that pretends, in a thread; supervisor and control are the test."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import TYPE_CHECKING

import pytest

from natlb.control.channel import Channel
from natlb.control.messages import (
    Alive,
    Ask,
    Attach,
    Hold,
    Leave,
    Message,
    Note,
    QueueLost,
    Reading,
    Wake,
)
from natlb.control.roles import Role
from natlb.control.worker import LeftAlone, Worker
from tests.unit.control.fakes import FakePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from natlb.io.ports import Port


class RecordingPath(FakePath):
    """Writes down what it was told, and reports a lost queue when it is."""

    def __init__(self) -> None:
        """Know nothing."""
        self.told: list[str] = []
        self.stop = os.eventfd(0)

    def attach(
        self,
        *,
        index: int,
        ports: Sequence[Port],
        flows: int,
        counters: int,
        commands: int,
        events: int,
        loads: int,
    ) -> None:
        """Take the queues."""
        self.queues = tuple(port.fd for port in ports)
        assert min(flows, counters, commands, events, loads) >= 0
        self.told.append(f"attach {index}")

    def load_next_hops(self, fd: int) -> None:
        """Read the generation."""
        self.told.append(f"hops {int(os.pread(fd, 10, 0))}")

    def recover(self) -> None:
        """Write it down."""
        self.told.append("recover")

    def load_tables(self, fd: int) -> int:
        """Read the generation."""
        generation = int(os.pread(fd, 10, 0))
        self.told.append(f"tables {generation}")
        return generation

    def run(self, wake: int) -> str:
        """Wait as the compiled loop does."""
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self.stop, select.POLLIN)
        for queue in self.queues:
            poll.register(queue, select.POLLIN)
        ready = dict(poll.poll())
        if self.stop in ready:
            raise LeftAlone
        return "wake" if wake in ready else "queue-lost"


class World:
    """A worker in a thread, and the far ends of its conversations."""

    def __init__(self) -> None:
        """Start the worker."""
        self.supervisor, self._end = Channel.pair()
        self.control, self._controls_end = Channel.pair()
        self.path = RecordingPath()
        self.left_alone = False
        self._worker = Worker(self._end, self.path)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.queues: list[tuple[int, int]] = []

    def _run(self) -> None:
        try:
            self._worker.run()
        except LeftAlone:
            self.left_alone = True

    def give_queue(self, role: Role) -> None:
        """Give the writing end of a pipe: it is lost when the reading end closes."""
        reading, writing = os.pipe()
        self.supervisor.send(Hold(role=role, index=3), writing)
        os.close(writing)
        self.queues.append((role, reading))

    def lose_queue(self, role: Role) -> None:
        """Close the other end of the queue."""
        for held, reading in self.queues:
            if held is role:
                os.close(reading)
        self.queues = [each for each in self.queues if each[0] is not role]

    def attach(self, *, takeover: int = 0) -> Message:
        """Give all that is needed and return the answer."""
        self.give_queue(Role.QUEUE_PUBLIC)
        self.give_queue(Role.QUEUE_PRIVATE)
        for role in (Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.EVENTS, Role.LOADS):
            self.supervisor.send(Hold(role=role), 0)
        self.give_tables(self.supervisor, 5)
        self.supervisor.send(Hold(role=Role.TABLES_CHANNEL), self._controls_end.fileno())
        self._controls_end.close()
        self.supervisor.send(Attach(index=3, takeover=takeover))
        return self.answer(self.supervisor)

    def give_tables(self, channel: Channel, generation: int) -> None:
        """Say that these tables are to be read."""
        memfd = os.memfd_create("tables")
        os.write(memfd, str(generation).encode())
        channel.send(Hold(role=Role.TABLES, value=generation), memfd)
        os.close(memfd)

    def answer(self, channel: Channel) -> Message:
        """Return the next message that is not about its life."""
        while True:
            assert select.select([channel], [], [], 10)[0]
            received = channel.receive()
            assert received is not None
            if not isinstance(received[0], Alive):
                return received[0]

    def next_word(self) -> Message:
        """Return the very next message."""
        assert select.select([self.supervisor], [], [], 10)[0]
        received = self.supervisor.receive()
        assert received is not None
        return received[0]

    def end(self) -> None:
        """Let the worker go."""
        with contextlib.suppress(OSError):
            self.supervisor.send(Leave())
        self._thread.join(10)
        assert not self._thread.is_alive()
        for channel in (self.supervisor, self.control, self._end, self._controls_end):
            channel.close()
        if self._worker._control is not None:
            self._worker._control.close()
        self._worker._wake.close()
        os.close(self.path.stop)
        for _, reading in self.queues:
            os.close(reading)


@pytest.fixture
def world() -> Iterator[World]:
    """Return a worker that waits for work."""
    made = World()
    yield made
    made.end()


def test_an_attached_worker_says_what_it_reads(world: World) -> None:
    """Then packets are forwarded."""
    assert world.attach() == Reading(index=3, generation=5)
    assert world.path.told == ["attach 3", "tables 5"]


def test_a_worker_that_takes_over_recovers_first(world: World) -> None:
    """Before the first packet, and before tables that count on it."""
    world.attach(takeover=1)

    assert world.path.told == ["attach 3", "recover", "tables 5"]


def test_new_tables_are_read_and_older_ones_are_not(world: World) -> None:
    """A message may be overtaken by a takeover."""
    world.attach()
    world.give_tables(world.control, 6)
    assert world.answer(world.control) == Reading(index=3, generation=6)
    world.give_tables(world.control, 4)
    assert world.answer(world.control) == Reading(index=3, generation=6)

    assert world.path.told == ["attach 3", "tables 5", "tables 6"]


def test_a_lost_queue_is_reported_and_its_replacement_used(world: World) -> None:
    """Meanwhile the worker does not spin: it waits for the word."""
    world.attach()
    world.lose_queue(Role.QUEUE_PRIVATE)
    assert world.answer(world.supervisor) == QueueLost(role=Role.QUEUE_PRIVATE, index=3)
    world.give_queue(Role.QUEUE_PRIVATE)
    world.supervisor.send(Attach(index=3, takeover=0))

    while isinstance(said := world.answer(world.supervisor), QueueLost):
        pass
    assert said == Reading(index=3, generation=5)
    assert world.path.told == ["attach 3", "tables 5", "attach 3"]


def test_a_worker_that_is_attached_once_more_goes_on(world: World) -> None:
    """An adopting supervisor equips it anew: nothing is recovered under its feet."""
    world.attach()
    control, theirs = Channel.pair()
    world.supervisor.send(Hold(role=Role.TABLES_CHANNEL), theirs.fileno())
    theirs.close()
    world.supervisor.send(Attach(index=3, takeover=1))
    assert world.answer(world.supervisor) == Reading(index=3, generation=5)
    world.give_tables(control, 6)
    assert world.answer(control) == Reading(index=3, generation=6)
    assert world.control.receive() is None  # the conversation before is over

    assert world.path.told == ["attach 3", "tables 5", "attach 3", "tables 6"]
    control.close()


def test_a_worker_whose_supervisor_and_control_die_goes_on(world: World) -> None:
    """It has all that it needs, and ends with neither."""
    world.attach()
    world.supervisor.close()
    world.give_tables(world.control, 8)
    assert world.answer(world.control) == Reading(index=3, generation=8)
    world.control.close()
    world._thread.join(0.2)

    assert world._thread.is_alive()
    os.eventfd_write(world.path.stop, 1)


def test_a_worker_that_was_never_attached_ends_with_its_supervisor(world: World) -> None:
    """Nobody needs it."""
    world.supervisor.close()
    world._thread.join(10)

    assert world.left_alone


def test_what_it_was_not_told_to_do_is_left_alone(world: World) -> None:
    """Nonsense, words for others, and control's wish to be its supervisor."""
    world.attach()
    world.control.end.send(b"nonsense")
    world.control.send(Note(text="x"))
    world.control.send(Leave())
    world.control.send(Wake())
    world.give_tables(world.control, 6)

    assert world.answer(world.control) == Reading(index=3, generation=6)


def test_it_says_that_it_lives_and_before_what_may_last(world: World) -> None:
    """Asked, and unasked before and after memory is mapped and tables are loaded."""
    world.supervisor.send(Ask())
    said = [world.next_word()]
    world.give_queue(Role.QUEUE_PUBLIC)
    world.attach()
    world.supervisor.send(Ask())
    said.append(world.next_word())

    assert said == [Alive(patience_ms=0), Alive(patience_ms=0)]
