"""Processes by pidfd, on real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from natlb.control import process
from natlb.control.directory import INSTANCE_VARIABLE
from natlb.control.messages import Leave, Note
from natlb.control.process import belongs_to, hold, kill_all_with, processes_with, start, started_at


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that tells what it sees and waits for a word."""
    (tmp_path / "child_for_test.py").write_text(
        "import os, sys\n"
        "from natlb.control.channel import Channel\n"
        "from natlb.control.messages import Note\n"
        "import select\n"
        "channel = Channel.from_fd(int(sys.argv[1]))\n"
        "fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))\n"
        "channel.send(Note(text=f'{os.getsid(0) == os.getpid()} {os.environ[\"EXTRA\"]} {fds}'))\n"
        "select.select([channel], [], [])\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    return "child_for_test"


def test_a_child_has_a_session_its_words_and_no_fd_but_its_own(module: str) -> None:
    """A terminal's Ctrl-C is the supervisor's alone, and so are its fds."""
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    child, channel = start(module, {"EXTRA": "word"})
    channel.end.setblocking(True)
    received = channel.receive()
    channel.send(Leave())

    assert child.reap() == 0
    assert received is not None
    message, _ = received
    assert isinstance(message, Note)
    assert message.text.startswith("True word [0, 1, 2, ")
    assert len(message.text.split("[")[1].split(",")) == 5  # its end, and the listing's own
    channel.close()
    os.close(secret)


def test_a_process_is_held_by_pid_and_start() -> None:
    """A pid alone may be somebody else's by now."""
    me = hold(os.getpid())

    assert me is not None
    assert me.started == started_at(os.getpid())
    me.forget()
    assert hold(os.getpid(), started_at(os.getpid()) + 1) is None
    assert hold(1 << 22) is None


def test_a_zombie_is_not_alive() -> None:
    """It has a pid and a start, and will never do anything again."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    pidfd = os.pidfd_open(child.pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)

    assert hold(child.pid) is None
    child.wait()
    os.close(pidfd)


def test_all_processes_of_an_instance_are_found_and_ended() -> None:
    """Orphans that no supervisor knows; nobody else's."""
    token = f"test-{os.getpid()}-{time.monotonic_ns()}"
    ours = subprocess.Popen(["sleep", "60"], env=os.environ | {INSTANCE_VARIABLE: token})
    other = subprocess.Popen(["sleep", "60"], env=os.environ | {INSTANCE_VARIABLE: token + "x"})
    for pid, its_token in ((ours.pid, token), (other.pid, token + "x")):
        deadline = time.monotonic() + 20
        while not belongs_to(
            pid, its_token
        ):  # vfork(2) returns a moment before the words are there
            assert time.monotonic() < deadline
    found = list(processes_with(token))
    for each in found:
        each.forget()

    assert [each.pid for each in found] == [ours.pid]
    assert belongs_to(ours.pid, token)
    assert not belongs_to(other.pid, token)
    assert kill_all_with(token) == [ours.pid]
    assert ours.wait() == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
    assert kill_all_with(token) == []


def test_a_process_that_is_gone_takes_no_signal() -> None:
    """Between the look and the signal it may end."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    held = process.Process(pid=child.pid, started=0, pidfd=os.pidfd_open(child.pid))
    child.wait()
    held.signal(signal.SIGKILL)

    assert held.ended()
    assert held.reap() is None
