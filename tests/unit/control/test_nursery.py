"""The nursery as a process, with a packet path that pretends; the supervisor is the test."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.control.channel import Channel
from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    NO_CPU,
    Alive,
    Ask,
    Attach,
    Ended,
    Failed,
    Fork,
    Forked,
    Hold,
    Learned,
    Leave,
    Message,
    Note,
    Prepared,
    Reading,
)
from natlb.control.nursery import told
from natlb.control.process import Process, start
from natlb.control.queues import SIDES
from natlb.control.roles import Role
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

Nursery = tuple[Process, Channel]


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    """Return a nursery that has prepared."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    process, channel = start("tests.unit.control.fake_nursery", {})
    assert answer(channel)[0] == Note(text="preparing")
    prepared, _ = answer(channel)
    assert isinstance(prepared, Prepared)
    assert not prepared.compiled
    yield process, channel
    process.signal(signal.SIGKILL)
    process.reap()
    channel.close()


def answer(channel: Channel) -> tuple[Message, list[int]]:
    """Return the next message that is not about a life."""
    while True:
        assert select.select([channel], [], [], 20)[0]
        received = channel.receive()
        assert received is not None
        if not isinstance(received[0], Alive):
            return received


def fork(channel: Channel, cpu: int = NO_CPU) -> tuple[int, int, Channel]:
    """Return a new worker's pid, pidfd, and the supervisor's end towards it."""
    ours, theirs = Channel.pair()
    channel.send(Fork(cpu=cpu), theirs.fileno())
    theirs.close()
    message, fds = answer(channel)
    assert isinstance(message, Forked)
    return message.pid, fds[0], ours


def test_a_worker_is_forked_without_rights_and_can_be_attached(nursery: Nursery) -> None:
    """It talks by its own end, and forwards by what it is given."""
    pid, pidfd, worker = fork(nursery[1])
    status = Path(f"/proc/{pid}/status").read_text()
    for role in (*SIDES, Role.COUNTERS, Role.COMMANDS, Role.EVENTS, Role.LOADS):
        memfd = os.eventfd(0)
        worker.send(Hold(role=role), memfd)
        os.close(memfd)
    flows, tables = os.memfd_create("flows"), os.memfd_create("tables")
    worker.send(Hold(role=Role.FLOWS), flows)
    worker.send(Hold(role=Role.TABLES), tables)
    worker.send(Attach(index=0, takeover=1))

    assert answer(worker)[0] == Reading(index=0, generation=7)
    assert os.pread(flows, 20, 0) == b"recovered"
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    worker.send(Leave())
    assert select.select([pidfd], [], [], 20)[0]
    for fd in (pidfd, flows, tables):
        os.close(fd)
    worker.close()


def test_a_worker_is_pinned_where_it_was_asked_for(nursery: Nursery) -> None:
    """The nursery is not."""
    cpu = max(os.sched_getaffinity(0))
    pid, pidfd, worker = fork(nursery[1], cpu)
    worker.send(Ask())
    assert select.select([worker], [], [], 20)[0]
    assert worker.receive() == (Alive(patience_ms=0), [])

    assert os.sched_getaffinity(pid) == {cpu}
    assert os.sched_getaffinity(nursery[0].pid) == os.sched_getaffinity(0)
    os.close(pidfd)
    worker.close()


def test_how_a_worker_ended_is_told(nursery: Nursery) -> None:
    """Its parent alone learns that."""
    pid, pidfd, worker = fork(nursery[1])
    os.kill(pid, signal.SIGSEGV)
    message, _ = answer(nursery[1])

    assert message == Ended(pid=pid, status=-signal.SIGSEGV & 0xFFFFFFFF)
    os.close(pidfd)
    worker.close()


def test_a_worker_outlives_its_nursery_once_it_is_attached_only(nursery: Nursery) -> None:
    """One that waits has lost nobody but the supervisor it talks to."""
    _, pidfd, worker = fork(nursery[1])
    nursery[0].signal(signal.SIGKILL)
    nursery[0].ended(10)
    assert not select.select([pidfd], [], [], 0.2)[0]
    worker.close()

    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)


def test_a_nursery_ends_with_its_supervisor(nursery: Nursery) -> None:
    """It keeps nothing that anybody needs."""
    nursery[1].end.shutdown(2)

    assert nursery[0].ended(10)


def test_what_goes_wrong_is_told_with_its_exit_code() -> None:
    """The supervisor says it, in one form for all."""
    ours, theirs = Channel.pair()

    def work() -> None:
        raise UnavailableError("no Numba", fix="pip install numba")

    assert told(theirs, work) == 69
    message, fds = answer(ours)
    assert message == Failed(exit_code=69)
    assert os.pread(fds[0], 100, 0) == b"no Numba\0pip install numba"
    os.close(fds[0])
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("programs", "expected", "said"),
    [(b"good", 0, b""), (b"broken", 65, b"mine.py:1:1: broken\0mend it")],
)
def test_programs_are_learned_or_refused(
    nursery: Nursery, programs: bytes, expected: int, said: bytes
) -> None:
    """It lives on either way, and forks."""
    memfd = sealed_memfd("programs", programs)
    nursery[1].send(Hold(role=Role.PROGRAMS, value=77), memfd)
    os.close(memfd)
    message, fds = answer(nursery[1])

    assert message == Learned(exit_code=expected, value=77)
    assert os.pread(fds[0], 100, 0) == said
    os.close(fds[0])
    pid, pidfd, worker = fork(nursery[1])
    limits = Path(f"/proc/{pid}/limits").read_text()
    os.close(pidfd)
    worker.close()
    assert limits == Path("/proc/self/limits").read_text()


def test_a_program_has_no_more_than_its_share_of_the_host(nursery: Nursery) -> None:
    """What is not enough is told as such, and the nursery lives on."""
    memfd = sealed_memfd("programs", b"greedy")
    nursery[1].send(Hold(role=Role.PROGRAMS, value=77), memfd)
    os.close(memfd)
    message, fds = answer(nursery[1])

    assert message == Learned(exit_code=65, value=77)
    assert os.pread(fds[0], 100, 0) == b"the policy does not compile within 4 GiB\0"
    os.close(fds[0])
