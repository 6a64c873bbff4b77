"""What a worker may say to the supervisor, and lost queues; the rest is in test_supervisor.py."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control import log
from natlb.control.channel import Channel
from natlb.control.child import Child
from natlb.control.directory import take_lock
from natlb.control.loop import Loop
from natlb.control.messages import (
    Attach,
    Hold,
    Leave,
    Prepared,
    QueueLost,
)
from natlb.control.process import hold
from natlb.control.roles import Role
from natlb.control.supervisor import Supervisor
from natlb.control.supervisor_slot import WorkerSlot
from natlb.errors import HostError
from tests.unit.control.fakes import MODULES, FakeHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from natlb.control.queues import Way


class Kept:
    """A supervisor whose worker is the test itself."""

    def __init__(self, folder: Path) -> None:
        """Attach the test as the worker, with a pipe for each queue."""
        lock = take_lock(folder / "run")
        self.host = FakeHost(lock.journal)
        self.loop = Loop()
        self.supervisor = Supervisor(lock, self.host, "/x.yaml", MODULES, self.loop)
        self.keeper = self.supervisor.workers
        ours, self.channel = Channel.pair()
        me = hold(os.getpid())
        assert me is not None
        self.slot = self.keeper.slots[0] = WorkerSlot(self.supervisor, 0)
        self.slot.current = Child(
            self.loop, me, ours, receiver=self.slot._hear, mourner=lambda *_: None
        )
        self.far = {}
        for role in (Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE):
            self.far[role], writing = os.pipe()
            self.supervisor.holdings.take(Hold(role=role), writing)

    def heard(self) -> list[Any]:
        """Return what the worker was told."""
        found = []
        while select.select([self.channel], [], [], 0)[0]:
            received = self.channel.receive()
            assert received is not None
            found.append(received[0])
            for fd in received[1]:
                os.close(fd)
        return found

    def close(self) -> None:
        """Let go."""
        assert self.slot.current is not None
        self.slot.current._forget()
        self.slot.current.process.forget()
        self.channel.close()
        self.supervisor.holdings.close()
        self.supervisor.lock.release()
        for fd in self.far.values():
            os.close(fd)


@pytest.fixture
def kept(folder: Path) -> Iterator[Kept]:
    """Return a supervisor with a worker."""
    made = Kept(folder)
    yield made
    made.close()


def test_a_lost_device_is_made_again_and_given_to_the_worker(kept: Kept) -> None:
    """The new queue, then the word to use it."""
    os.close(kept.far.pop(Role.QUEUE_PUBLIC))
    kept.keeper.check_queues()

    assert kept.heard() == [Hold(role=Role.QUEUE_PUBLIC), Attach(index=0, takeover=0)]
    kept.keeper.check_queues()
    assert kept.heard() == []


def test_a_loss_that_a_worker_invents_changes_nothing(kept: Kept) -> None:
    """It may have been taken over, and its word is checked."""
    kept.channel.send(QueueLost(role=Role.QUEUE_PRIVATE, index=0))
    kept.channel.send(QueueLost(role=Role.REGISTRY, index=0))
    kept.channel.send(Leave())
    for _ in range(3):
        kept.loop.step(0.1)

    assert kept.heard() == []
    assert not (kept.supervisor.lock.directory / "host-log").exists()


def test_a_device_that_cannot_be_made_is_tried_with_patience(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And few words."""
    tried: list[float] = []

    def refuse(_: Role) -> list[Way]:
        tried.append(time.monotonic())
        raise HostError("not now")

    monkeypatch.setattr(kept.host, "rebuild", refuse)
    os.close(kept.far.pop(Role.QUEUE_PRIVATE))
    for _ in range(500):
        kept.keeper.check_queues()
    said = capsys.readouterr()

    assert 8 <= len(tried) <= 10
    assert (said.out + said.err).count("device_not_rebuilt") == 4  # 1 2 4 8


def test_workers_without_a_filter_are_told_of_once(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many nurseries come to the same end."""
    log.configure()
    child = kept.slot.current
    assert child is not None
    for _ in range(2):
        kept.keeper._hear_nursery(child, Prepared(compiled=1, dropped=1, text="none\0get it"), [])

    lines = [line for line in capsys.readouterr().err.splitlines() if "unfiltered" in line]
    assert len(lines) == 1
    assert 'warning workers_unfiltered reason=none fix="get it"' in lines[0]
