"""The keeper, as a thread: what it is told to keep, it hands over once its supervisor is gone."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import pytest

from natlb.control import handover
from natlb.control.channel import Channel, close_all
from natlb.control.coding import encode
from natlb.control.keeper import Keeper
from natlb.control.listener import handover_listener
from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    Alive,
    Ask,
    HandedOver,
    Hold,
    Leave,
    Message,
    Release,
)
from natlb.control.roles import Role

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

STANDING = HandedOver(started_ns=5, level=20, json=0, compiled=1, pid=1, text="3")


class Kept:
    """A keeper with its supervisor's end."""

    def __init__(self, folder: Path) -> None:
        """Give it a socket, a table and what stands."""
        self.path = folder / "keeper"
        self.supervisor, theirs = Channel.pair()
        self.thread = threading.Thread(target=Keeper(theirs).run)
        self.thread.start()
        with handover_listener(self.path) as listening:
            self.supervisor.send(Hold(role=Role.HANDOVER_LISTENER), listening.fileno())
        self.hold(Hold(role=Role.FLOWS), os.memfd_create("flows"))
        self.hold(Hold(role=Role.REGISTRY), os.memfd_create("registry"))

    def hold(self, said: Hold, fd: int) -> None:
        """Have it keep this."""
        self.supervisor.send(said, fd)
        os.close(fd)

    def connect(self) -> Channel:
        """Return a conversation as the next supervisor has it."""
        from socket import AF_UNIX, SOCK_SEQPACKET, socket

        connection: socket = socket(AF_UNIX, SOCK_SEQPACKET)
        connection.connect(str(self.path))
        return waiting(Channel(connection))


def waiting(channel: Channel) -> Channel:
    """Have the end wait for messages."""
    channel.end.settimeout(20)
    return channel


def all_of(channel: Channel) -> list[Message]:
    """Return what is handed over."""
    said: list[Message] = []
    while not said or not isinstance(said[-1], HandedOver):
        received = channel.receive()
        if received is None:
            break
        said.append(received[0])
        close_all(received[1])
    return said


@pytest.fixture
def kept(folder: Path) -> Iterator[Kept]:
    """Return a keeper with two fds, and end it."""
    made = Kept(folder)
    yield made
    if made.supervisor.fileno() >= 0:
        with contextlib.suppress(OSError):
            made.supervisor.send(Leave())
        made.thread.join(20)
        made.supervisor.close()
    assert not made.thread.is_alive()


def test_it_hands_over_to_the_next_and_listens_to_it(kept: Kept) -> None:
    """What was released is not there; what stands is said last, with its own pid."""
    kept.hold(Hold(role=Role.STANDING), sealed_memfd("standing", encode(STANDING)))
    kept.supervisor.send(Release(role=Role.REGISTRY))
    kept.supervisor.close()
    kept.supervisor = kept.connect()
    said = all_of(kept.supervisor)

    assert [each.role for each in said if isinstance(each, Hold)] == [Role.FLOWS, Role.STANDING]
    last = said[-1]
    assert isinstance(last, HandedOver)
    assert (last.restarts, last.pid) == ((3,), os.getpid())


def test_while_its_supervisor_lives_nobody_gets_anything(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them would take the same queues."""
    monkeypatch.setattr(handover, "SECONDS_TO_DIE", 0.05)
    kept.hold(Hold(role=Role.STANDING), sealed_memfd("standing", encode(STANDING)))
    stranger = kept.connect()

    assert all_of(stranger) == []
    stranger.close()


def test_what_was_never_whole_is_not_handed_over(kept: Kept) -> None:
    """A supervisor that died before it had begun left nothing to go on with."""
    stranger = kept.connect()

    assert all_of(stranger) == []
    stranger.close()


def test_it_says_that_it_lives(kept: Kept) -> None:
    """As every child does."""
    waiting(kept.supervisor).send(Ask())

    assert kept.supervisor.receive() == (Alive(patience_ms=0), [])


def test_without_a_socket_it_does_not_outlive_its_supervisor() -> None:
    """Nobody could reach it."""
    supervisor, theirs = Channel.pair()
    supervisor.close()
    Keeper(theirs).run()


def test_without_anything_whole_it_does_not_outlive_its_supervisor(kept: Kept) -> None:
    """A successor begins anew then, and asks nobody: a keeper would wait for ever."""
    kept.supervisor.close()
    kept.thread.join(20)


def test_nonsense_is_not_obeyed(kept: Kept) -> None:
    """And harms nothing."""
    waiting(kept.supervisor).end.send(b"nonsense")
    kept.supervisor.send(Ask())

    assert kept.supervisor.receive() == (Alive(patience_ms=0), [])
