from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from natlb.lab.process import (
    ended,
    inhabitants,
    network_of,
    remember,
    start,
    start_attached,
    start_time,
    stop,
    this_process,
    wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Return the starter of a Python program that prints a line when it is about to wait."""
    begun = []

    def program(code: str) -> int:
        ours, theirs = os.pipe()
        command = [sys.executable, "-c", code]
        with os.fdopen(ours) as out, (tmp_path / "log").open("a") as log:
            begun.append(start(None, command, stdout=theirs, stderr=log.fileno()))
            os.close(theirs)
            out.readline()
        return begun[-1]

    yield program
    stop(begun, grace=0.0)


WAITS = "import time; print('on', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS


def test_a_started_process_is_alive_until_it_is_stopped(begin: Callable[[str], int]) -> None:
    """A zombie is not alive, although its pid is still there."""
    process = remember("b1", "backend", begin(WAITS))

    assert process.alive
    os.kill(process.pid, signal.SIGKILL)
    assert ended(process.pid, 5.0)
    assert not process.alive
    stop([process.pid], grace=0.0)
    assert start_time(process.pid) is None


def test_a_pid_given_out_again_is_another_process(begin: Callable[[str], int]) -> None:
    """The start time tells them apart: what is ended is never somebody else's."""
    process = remember("b1", "backend", begin(WAITS))

    assert not replace(process, started=process.started - 1).alive


def test_a_process_that_will_not_end_is_killed(begin: Callable[[str], int]) -> None:
    """SIGTERM first, and no longer than the time of grace."""
    gentle, deaf = begin(WAITS), begin(DEAF)
    began = monotonic()
    stop([gentle, deaf], grace=0.2)

    assert start_time(gentle) is start_time(deaf) is None
    assert monotonic() - began < 5.0


def test_stopping_what_has_gone_is_no_error(begin: Callable[[str], int]) -> None:
    """It may end by itself at any moment."""
    pid = begin("print('on')")
    wait(pid)

    stop([pid], grace=1.0)


def test_a_started_process_has_no_terminal_and_no_input(begin: Callable[[str], int]) -> None:
    """^C at the terminal is for the command that started it, not for the lab."""
    session = (
        "import os, sys; print(flush=True); "
        "sys.exit(sys.stdin.read() != '' or os.getsid(0) != os.getpid())"
    )

    assert wait(begin(session)) == 0


def test_a_started_process_has_usual_signals(begin: Callable[[str], int]) -> None:
    """Python ignores SIGPIPE and hands that on; a lab's processes begin as from a shell."""
    usual = "print(flush=True); import os; os.kill(os.getpid(), 13)"

    # The interpreter ignores it as well, so what is asked is a program that is none.
    assert wait(begin(usual)) == 0
    assert wait(start_attached(None, ["sh", "-c", "kill -PIPE $$"])) == 128 + signal.SIGPIPE


def test_the_exit_status_is_as_a_shell_tells_it() -> None:
    """128 and the signal for one that was killed."""
    assert wait(start_attached(None, ["sh", "-c", "exit 7"])) == 7
    assert wait(start_attached(None, ["sh", "-c", "kill -TERM $$"])) == 143


def test_who_lives_in_a_namespace_is_found_by_the_namespace(begin: Callable[[str], int]) -> None:
    """Also a process that nobody remembers."""
    pid = begin(WAITS)
    here = Path("/proc/self/ns/net").stat().st_ino

    assert network_of(pid) == here
    assert {pid, os.getpid()} <= set(inhabitants([here]))
    assert inhabitants([1]) == []


def test_this_process_is_alive() -> None:
    """A demo remembers itself as the owner of its lab."""
    assert this_process("owner").alive
    assert this_process("owner").pid == os.getpid()
