"""Checks by a program of the operator's own."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import time
from pathlib import Path

import pytest

from natlb.control.health.codes import Code
from natlb.control.health.probes import exec as exec_module
from natlb.control.health.probes.exec import MOST_DYING, all_ended, environment
from tests.unit.control.health.servers import LONG, SHORT, ask, never_late, target

PORT = 8080


def run(*command: str, timeout: float = LONG):
    """Return what a program comes to, once it is reaped."""

    async def live():
        result = await ask(PORT, type="exec", command=command, timeout=timeout)
        await all_ended()
        return result

    return asyncio.run(live())


def shell(text: str, *, timeout: float = LONG):
    """Return what a script comes to."""
    return run("/bin/sh", "-c", text, timeout=timeout)


@pytest.mark.parametrize(
    ("script", "status", "code", "reason"),
    [
        ("exit 0", "up", Code.PROCOK, "exit code 0"),
        ("echo fine", "up", Code.PROCOK, "fine"),
        ("echo no disk >&2; exit 3", "down", Code.PROCERR, "exit code 3: no disk"),
        ("kill -TERM $$", "down", Code.PROCERR, "killed by SIGTERM"),
    ],
)
def test_the_exit_code_decides(script, status, code, reason) -> None:
    """What it wrote is told."""
    result = shell(script)

    assert (result.status, result.code, result.reason) == (status, code, reason)
    assert [each.name for each in result.phases] == ["run"]


def test_it_finds_where_the_backend_is_and_nothing_else(tmp_path) -> None:
    """The operator's secrets are in natlb's own environment, perhaps."""
    found = tmp_path / "found"
    code = f"import os; open({str(found)!r}, 'w').write(repr(dict(os.environ)) + os.getcwd())"
    result = run(sys.executable, "-I", "-c", code)

    assert result.status == "up", result.reason
    assert found.read_text() == f"{environment(target(PORT))!r}/"
    assert {
        "NATLB_SERVICE": "web",
        "NATLB_BACKEND": "b1",
        "NATLB_ADDRESS": "127.0.0.1",
        "NATLB_PORT": "8080",
    }.items() <= environment(target(PORT)).items()


def test_arguments_are_read_by_no_shell() -> None:
    """Whatever they are made of."""
    assert run("/bin/echo", "$(id); x > /dev/null").reason == "$(id); x > /dev/null"


def test_a_program_that_never_ends_is_killed_with_all_it_forked(monkeypatch, tmp_path) -> None:
    """It costs its timeout, and nothing after that."""
    never_late(monkeypatch)
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! $$ > {pids}; wait"
    result = shell(script, timeout=2 * SHORT)
    while not pids.exists():  # a machine so loaded that the shell had not begun: once more
        result = shell(script, timeout=20 * SHORT)

    assert (result.status, result.code) == ("down", Code.PROCTOUT)
    for pid in pids.read_text().split():
        await_end(int(pid))


def await_end(pid: int) -> None:
    """Return once a process is gone, which was killed and may yet have to notice."""
    deadline = time.monotonic() + LONG
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Return whether a process is there, and is no corpse that its parent leaves lying."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_what_a_program_leaves_running_ends_with_it(tmp_path) -> None:
    """A check is no way to start services; and who keeps its output open is not waited for."""
    pids = tmp_path / "pids"
    result = shell(f"sleep 1000 & echo $! > {pids}; echo fine")

    assert result.reason == "fine"
    await_end(int(pids.read_text()))


def test_one_that_writes_without_end_is_stopped(monkeypatch) -> None:
    """By a pipe that nobody empties; it is killed at its timeout."""
    never_late(monkeypatch)
    result = shell("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", timeout=SHORT)

    assert result.code is Code.PROCTOUT
    assert len(result.phases[0].seen) < 200


@pytest.mark.parametrize("command", ["/no/such/program", "/etc/hostname", "/"])
def test_what_cannot_be_run_says_nothing_of_the_backend(command) -> None:
    """A script that was moved takes no pool down."""
    result = run(command)

    assert (result.status, result.code) == (None, Code.PROCERR)
    assert result.reason.startswith(f"cannot run {command}: ")


def test_without_fds_nothing_is_run_and_nothing_left(monkeypatch) -> None:
    """Neither a process nor an fd."""

    def fail(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", fail)
    before = set(Path("/proc/self/fd").iterdir())
    result = run("/bin/sleep", "1000")

    assert (result.status, result.code) == (None, Code.SOCKERR)
    assert {path.name for path in Path("/proc/self/fd").iterdir()} - {
        p.name for p in before
    } == set()


def test_beyond_so_many_that_cannot_die_none_is_started(monkeypatch) -> None:
    """A disk that hangs would have natlb start programs until there is no memory."""
    monkeypatch.setattr(exec_module, "_dying", set(range(MOST_DYING)))
    result = run("/bin/true")

    assert (result.status, result.code) == (None, Code.SOCKERR)
