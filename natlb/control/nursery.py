"""Where workers come from: a process that has loaded the packet path, and forks.

    python -m natlb.control.nursery FD

FD is its end of the conversation with the supervisor. It loads the code, which takes a second, and
gives up its rights, once; a worker is then a fork of it, in a few milliseconds, and shares its
memory. A worker talks to the supervisor by an end of its own, and does not die with the nursery.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from natlb.control import privileges, seccomp
from natlb.control.channel import Channel, close_all
from natlb.control.coding import MessageError
from natlb.control.failure import error_text, explain
from natlb.control.limits import limited
from natlb.control.memory import read_sealed, sealed_memfd
from natlb.control.messages import (
    NO_CPU,
    Alive,
    Ask,
    Ended,
    Failed,
    Fork,
    Forked,
    Hold,
    Learned,
    Leave,
    Note,
    Prepared,
)
from natlb.control.programs import decode_programs
from natlb.control.roles import Role
from natlb.control.worker import LeftAlone, PacketPath, Worker
from natlb.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.core.choice import Pick

    Learn = Callable[[bytes], Pick]


MOST_OCTETS = 4 << 30  # of addresses; natlb itself has 1.3 GB of them, and a program adds little
SECONDS_TO_LEARN = 150  # of a processor: where nobody ends it, as the supervisor does before


class Nursery:
    """A loaded packet path, and the workers forked with it."""

    def __init__(self, supervisor: Channel, path: PacketPath, learn: Learn) -> None:
        """Listen to the supervisor."""
        self._supervisor = supervisor
        self._path = path
        self._learn = learn
        self._filter: seccomp.Filter | None = None

    def prepare(self) -> None:
        """Load the code, then give up all rights; tell the supervisor."""
        self._path.prepare(lambda text: self._supervisor.send(Note(text=text)))
        unfiltered = ""
        try:
            self._filter = seccomp.worker_filter()
        except UnavailableError as error:
            unfiltered = error_text(error)
        dropped = privileges.drop_to_nobody()
        compiled = self._path.compiled
        prepared = Prepared(compiled=int(compiled), dropped=int(dropped), text=unfiltered)
        self._supervisor.send(prepared)

    def run(self) -> None:
        """Fork when told to, until nobody tells any more."""
        ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._supervisor.fileno(), select.POLLIN)
        poll.register(ended, select.POLLIN)
        with contextlib.suppress(LeftAlone):
            while True:
                for fd, _ in poll.poll():
                    self._hear() if fd != ended else self._bury(ended)

    def _hear(self) -> None:
        try:
            received = self._supervisor.receive()
        except (BlockingIOError, MessageError):
            return
        if received is None or isinstance(received[0], Leave):
            raise LeftAlone
        message, fds = received
        if isinstance(message, Fork):
            self._fork(Channel.from_fd(fds.pop()), message.cpu)
        elif isinstance(message, Hold) and message.role is Role.PROGRAMS:
            self._learn_programs(message.value, fds[0])
        elif isinstance(message, Ask):
            self._supervisor.send(Alive(patience_ms=0))
        close_all(fds)

    def _learn_programs(self, digest: int, memfd: int) -> None:
        """Have workers choose by these programs too; tell the supervisor, or why not.

        Where it cannot be, workers know what they knew. The limits are for the learning alone:
        what is forked afterwards has none of them.
        """
        exit_code, text = 0, ""
        try:
            with limited(octets=MOST_OCTETS, seconds=SECONDS_TO_LEARN):
                pick = self._learn(read_sealed(memfd))
            self._path.choose_by(pick)
        except MemoryError:
            exit_code = ConfigError.exit_code
            text = f"the policy does not compile within {MOST_OCTETS >> 30} GiB\0"
        except Exception as error:  # noqa: BLE001 - the user's text: whatever it does, this stays
            known = explain(error)
            exit_code, text = known.exit_code, error_text(known)
        said = sealed_memfd("learned", text.encode())
        self._supervisor.send(Learned(exit_code=exit_code, value=digest), said)
        os.close(said)

    def _fork(self, theirs: Channel, cpu: int) -> None:
        """Make a worker that talks by `theirs`; tell the supervisor who it is."""
        pid = os.fork()
        if pid == 0:
            self._be_worker(theirs, cpu)
        theirs.close()
        pidfd = os.pidfd_open(pid)  # not reaped yet, so it is this very process
        self._supervisor.send(Forked(pid=pid), pidfd)
        os.close(pidfd)

    def _be_worker(self, supervisor: Channel, cpu: int) -> NoReturn:
        """Be the worker; never comes back into the nursery's code."""
        self._pin(cpu)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._supervisor.close()
        seccomp.confine(self._filter)
        code = told(supervisor, Worker(supervisor, self._path).run)
        sys.stderr.flush()
        os._exit(code)

    def _pin(self, cpu: int) -> None:
        """Run on this CPU alone from now on; where that cannot be, anywhere, and say so."""
        if cpu == NO_CPU:
            return
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError as error:
            why = f"a worker is not pinned to CPU {cpu}: {error.strerror}"
            self._supervisor.send(Note(text=why))

    def _bury(self, ended: int) -> None:
        """Take leave of workers that ended, and say how."""
        with contextlib.suppress(BlockingIOError):
            os.read(ended, 64)
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = dead
                code = os.waitstatus_to_exitcode(status)
                self._supervisor.send(Ended(pid=pid, status=code & 0xFFFFFFFF))


def told(supervisor: Channel, work: Callable[[], None]) -> int:
    """Do the work and return the exit code; what goes wrong is told to the supervisor."""
    try:
        work()
    except LeftAlone:
        return 0
    except Exception as error:  # noqa: BLE001 - the supervisor says it, in one form for all
        known = explain(error)
        memfd = sealed_memfd("failure", error_text(known).encode())
        with contextlib.suppress(OSError):
            supervisor.send(Failed(exit_code=known.exit_code), memfd)
        return known.exit_code
    return 0


def serve(supervisor: Channel, load: Callable[[], PacketPath], learn: Learn) -> int:
    """Be a nursery until nobody needs it any more; return the exit code."""

    def live() -> None:
        nursery = Nursery(supervisor, load(), learn)
        nursery.prepare()
        nursery.run()

    return told(supervisor, live)


def load_packet_path() -> PacketPath:
    """Import the packet path: half a second, most of it Numba's."""
    # Their failure is to be told, not raised. The second is for `learn_programs`, which may not
    # be able to read any file, once the rights are gone.
    from natlb.control.policy import program  # noqa: F401, PLC0415
    from natlb.io.loop import PacketLoop  # noqa: PLC0415
    from natlb.jit import load_compiler  # noqa: PLC0415

    load_compiler()
    return PacketLoop()


def learn_programs(octets: bytes) -> Pick:
    """Return a `pick()` that knows these programs. Raises ConfigError."""
    from natlb.control.policy.program import pick_for  # noqa: PLC0415 - loads Numba

    return pick_for(decode_programs(octets))


if __name__ == "__main__":
    sys.exit(serve(Channel.from_fd(int(sys.argv[1])), load_packet_path, learn_programs))
