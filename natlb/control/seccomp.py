"""The system calls that a worker may still make: a filter that the kernel holds it to.

    made       in the nursery, where libseccomp can still be found and loaded
    applied    in each worker, at once after its fork; nothing takes it off again

The list is what forwarding needs: to read and write what was handed over, to wait, to map memory,
to talk to the supervisor and to control, to end. Whatever else is asked for, the kernel answers
EPERM: nothing is opened, connected, run, forked, traced or signalled, and no memory becomes code.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = """
    read write readv writev pread64 pwrite64 lseek close
    poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2
    recvmsg sendmsg recvmmsg sendmmsg sendto getsockname getpeername getsockopt
    dup dup2 dup3 fstat memfd_create ftruncate
    brk munmap mremap madvise futex
    clock_gettime gettimeofday time clock_nanosleep nanosleep restart_syscall sched_yield
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
    getpid gettid getuid geteuid getgid getegid getrandom getrusage sched_getaffinity sysinfo
    exit exit_group
"""
FCNTLS = (
    fcntl.F_GETFD,
    fcntl.F_SETFD,
    fcntl.F_GETFL,
    fcntl.F_SETFL,
    fcntl.F_DUPFD,
    fcntl.F_DUPFD_CLOEXEC,
    fcntl.F_ADD_SEALS,
    fcntl.F_GET_SEALS,
)
IOCTLS = termios.FIONBIO, termios.FIOCLEX, termios.FIONCLEX  # Python's way to set these flags
AT_EMPTY_PATH = 0x1000  # Linux: fcntl.h; what glibc's fstat() says before 2.39
STATUS = Path("/proc/self/status")


class Filter(Protocol):
    """What a process can be held to."""

    def load(self) -> None:
        """Hold this process to it, for good."""


def worker_filter() -> Filter:
    """Return the filter of workers. Raises UnavailableError where there is none to be had."""
    if not any(line.startswith("Seccomp:") for line in STATUS.read_text().splitlines()):
        raise UnavailableError("this kernel has no seccomp")
    try:
        import pyseccomp  # noqa: PLC0415 - looks for a library of the host, which may be missing
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise UnavailableError(str(error), fix="apt install libseccomp2") from error
    try:
        return _build(pyseccomp)
    except OSError as error:
        raise UnavailableError(f"libseccomp: {error}") from error


def confine(held_to: Filter | None) -> None:
    """Hold this process to the filter; one that cannot be held goes on, and says so."""
    if held_to is None:
        return
    try:
        held_to.load()
    except OSError as error:
        sys.stderr.write(f"worker_unfiltered reason={error.strerror!r}\n")


def _build(library: Any) -> Filter:
    made = library.SyscallFilter(library.ERRNO(errno.EPERM))
    for attribute, value in (
        (library.Attr.ACT_BADARCH, library.KILL_PROCESS),  # a 32-bit call: no such code is here
        (library.Attr.CTL_OPTIMIZE, 2),  # by a tree: a packet costs calls too
        (library.Attr.CTL_SSB, 1),  # no foreign code runs here to be slowed down for
    ):
        with contextlib.suppress(OSError):  # an older libseccomp
            made.set_attr(attribute, value)
    for call, conditions in _rules(library):
        with contextlib.suppress(OSError):  # not of this machine, or not known: refused then
            made.add_rule(library.ALLOW, call, *conditions)
    return cast("Filter", made)


def _rules(library: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield calls, and what must hold of their arguments."""
    for call in ALLOWED.split():
        yield call, []
    for call in ("mmap", "mprotect"):
        yield call, [library.Arg(2, library.MASKED_EQ, mmap.PROT_EXEC, 0)]
    for command in FCNTLS:
        yield "fcntl", [library.Arg(1, library.EQ, command)]
    for request in IOCTLS:
        yield "ioctl", [library.Arg(1, library.EQ, request)]
    yield "newfstatat", [library.Arg(3, library.EQ, AT_EMPTY_PATH)]
