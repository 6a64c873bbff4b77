"""Adoption, with a control that is a thread."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from natlb.control import handover
from natlb.control.channel import Channel
from natlb.control.directory import INSTANCE_VARIABLE
from natlb.control.handover import ask, may_take_over
from natlb.control.holdings import Holdings
from natlb.control.listener import handover_listener
from natlb.control.messages import (
    HandedOver,
    Hold,
    Wake,
)
from natlb.control.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def control() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process of the instance `token-of-test`, which stands for control."""
    environment = os.environ | {INSTANCE_VARIABLE: "token-of-test"}
    process = subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=-1)
    yield process
    process.communicate(b"\n")


def said_by(pid: int) -> HandedOver:
    """Return what a control says at the end."""
    return HandedOver(started_ns=5, level=20, json=0, compiled=1, pid=pid, text="3")


def answer(path: Path, speak: Callable[[Channel], None]) -> threading.Thread:
    """Have whoever connects next spoken to."""
    listening = handover_listener(path)

    def serve() -> None:
        connection, _ = listening.accept()
        listening.close()
        speak(Channel(connection))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_everything_that_control_holds_is_taken_over(
    folder: Path, control: subprocess.Popen[bytes]
) -> None:
    """And the connection is the conversation from then on."""
    ends: list[Channel] = []

    def speak(channel: Channel) -> None:
        memfd = os.memfd_create("test")
        channel.send(Hold(role=Role.TABLES, value=4), memfd)
        channel.send(Hold(role=Role.FLOWS), memfd)
        channel.send(said_by(control.pid))
        channel.send(Wake())
        os.close(memfd)
        ends.append(channel)

    thread = answer(folder / "handover", speak)
    holdings = Holdings()
    adopted = ask(folder / "handover", "token-of-test", holdings)
    thread.join()

    assert adopted is not None
    assert adopted.control.pid == control.pid
    assert adopted.said.restarts == (3,)
    assert adopted.channel.receive() == (Wake(), [])
    assert [(said.role, said.value) for said, _ in holdings] == [(Role.FLOWS, 0), (Role.TABLES, 4)]
    adopted.control.forget()
    adopted.channel.close()
    ends[0].close()
    holdings.close()


def test_nobody_there_is_nobody_adopted(folder: Path) -> None:
    """No socket, or one that nobody listens behind."""
    assert ask(folder / "handover", "token", Holdings()) is None
    handover_listener(folder / "handover").close()
    assert ask(folder / "handover", "token", Holdings()) is None


@pytest.mark.parametrize("fault", ["stranger", "early end", "nonsense", "silence"])
def test_a_control_that_does_not_hand_over_whole_is_taken_for_dead(
    folder: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is kept."""
    monkeypatch.setattr(handover, "SECONDS_TO_ANSWER", 0.3)
    kept: list[Channel] = []

    def speak(channel: Channel) -> None:
        memfd = os.memfd_create("test")
        channel.send(Hold(role=Role.TABLES), memfd)
        os.close(memfd)
        if fault == "stranger":
            channel.send(said_by(os.getpid()))
        elif fault == "nonsense":
            channel.end.send(b"nonsense")
        if fault == "early end":
            channel.close()
        else:
            kept.append(channel)

    thread = answer(folder / "handover", speak)
    holdings = Holdings()

    assert ask(folder / "handover", "token-of-test", holdings) is None
    assert list(holdings) == []
    thread.join()
    for channel in kept:
        channel.close()


def test_only_one_supervisor_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control changes over when the old one is gone, and not before."""
    monkeypatch.setattr(handover, "SECONDS_TO_DIE", 0.05)
    connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    old, olds_end = Channel.pair()

    assert not may_take_over(connection, old)
    olds_end.close()
    assert may_take_over(connection, old)
    assert may_take_over(connection, None)
    old.close()
    connection.close()
    other.close()
