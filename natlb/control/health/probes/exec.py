"""`exec`: a program of the operator's own, which says by its exit code.

It gets an argument list, no shell, and an environment of its own: where the backend is. It runs in
a session of its own in natlb's own network namespace, with the rights of control: none. At its end
or at the timeout the whole process group is killed, so that what it forked costs nothing further.
Its output goes into a pipe that is read when it is over: who writes more than the pipe takes
(64 KiB) waits, and runs into the timeout.

Laws
    What was started is reaped, also where nobody waits any more. Killed programs that cannot die
    (a disk that hangs) are at most MOST_DYING; beyond, nothing is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from natlb.control.health.codes import Code
from natlb.control.health.steps import RUN, Failure, shown

if TYPE_CHECKING:
    from natlb.control.config.values import CheckConfig
    from natlb.control.health.probe import Target
    from natlb.control.health.sockets import OpenSocket
    from natlb.control.health.steps import Steps

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_OUTPUT = 4096
MOST_DYING = 64
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})

_running: set[Program] = set()
_dying: set[Program] = set()


async def ask(
    check: CheckConfig,
    target: Target,
    steps: Steps,
    open_socket: OpenSocket,  # noqa: ARG001 - the program opens its own
) -> tuple[Code, str]:
    """Run the program, and go by its exit code."""
    steps.begin(RUN)
    program = _start(check.command, environment(target))
    try:
        await asyncio.shield(program.ended)
    finally:
        output = program.end()
        steps.saw(output or "no output")
    status = program.status
    if status == 0:
        return Code.PROCOK, output or "exit code 0"
    how = f"exit code {status}" if status > 0 else f"killed by {_signal(-status)}"
    raise Failure(Code.PROCERR, f"{how}: {output}" if output else how)


def environment(target: Target) -> dict[str, str]:
    """Return all that a program finds in its environment."""
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "NATLB_SERVICE": target.service,
        "NATLB_BACKEND": target.backend,
        "NATLB_ADDRESS": str(target.address),
        "NATLB_PORT": str(target.port),
    }


def _start(command: tuple[str, ...], variables: dict[str, str]) -> Program:
    if len(_dying) >= MOST_DYING:
        reason = f"{len(_dying)} programs of checks were killed and do not end: not one more"
        raise Failure(Code.SOCKERR, reason, is_ours=True)
    try:
        return Program(command, variables)
    except OSError as error:
        code = Code.SOCKERR if error.errno in OURS else Code.PROCERR
        reason = f"cannot run {shown(command[0])}: {error.strerror}"
        raise Failure(code, reason, is_ours=True) from None


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Program:
    """A program that runs, its output, and its end; `ended` is over when it may be reaped."""

    def __init__(self, command: tuple[str, ...], variables: dict[str, str]) -> None:
        """Start it."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self._output, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                env=variables,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(write)
        self._pidfd = self._watch()
        _running.add(self)

    def _watch(self) -> int:
        try:
            pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._kill()
            self._process.wait()
            os.close(self._output)
            raise
        asyncio.get_running_loop().add_reader(pidfd, self._bury)
        return pidfd

    def _kill(self) -> None:
        """Kill all its group; only while it is not reaped, so that the number is its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> str:
        """Kill what is left of it; return what it wrote, so far as it is shown."""
        if self in _running:
            self._kill()
            _dying.add(self)
        try:
            return shown(os.read(self._output, MOST_OUTPUT))
        except BlockingIOError:
            return ""
        finally:
            os.close(self._output)

    def _bury(self) -> None:
        """Kill what it left behind, and reap it."""
        self._kill()
        self.status = self._process.wait()
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        _running.discard(self)
        _dying.discard(self)
        if not self.ended.done():
            self.ended.set_result(None)


async def all_ended() -> None:
    """Return once every program that was started is reaped."""
    while _running:
        await next(iter(_running)).ended
