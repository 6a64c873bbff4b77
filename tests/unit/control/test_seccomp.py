"""The filter, in processes that end with it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from natlb.control import seccomp
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = {
    "a file opened": "open('/dev/null')",
    "a file made": "os.open('/tmp/natlb-made', os.O_CREAT | os.O_WRONLY)",
    "a socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "a pair of sockets": "socket.socketpair()",
    "another program": "os.execv('/bin/true', ['true'])",
    "a fork": "os.fork()",
    "a thread": "threading.Thread(target=int).start()",
    "a signal": "os.kill(os.getppid(), 0)",
    "a trace": "call('ptrace', 0, 0, 0, 0)",  # PTRACE_TRACEME
    "another's fd": "call('syscall', 438, os.pidfd_open(os.getppid()), 1, 0)",
    "memory that is code": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "a device's setting": "fcntl.ioctl(0, 0x400454CA, bytes(40))",  # TUNSETIFF
    "a lock": "fcntl.flock(0, fcntl.LOCK_SH)",
    "a directory": "os.listdir('/')",
    "a look at a file": "os.stat('/etc/passwd')",
}
PRELUDE = """
import ctypes, fcntl, mmap, os, select, signal, socket, sys, threading, traceback
from natlb.control import seccomp

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

one, other = socket.socketpair()
memory = os.memfd_create("memory")
held_to = seccomp.worker_filter()
libc.prctl(38, 1, 0, 0, 0)
seccomp.confine(held_to)
"""


def confined(code: str) -> subprocess.CompletedProcess[str]:
    """Return what became of a process that ran this code with the filter."""
    command = [sys.executable, "-c", PRELUDE + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_what_forwarding_does_not_need_is_refused() -> None:
    """With EPERM, so that the caller lives to say it."""
    tries = "".join(
        f"try:\n    {code}\nexcept PermissionError: print({name!r})\n"
        f"except RuntimeError as error: print({name!r}, error)\n"
        for name, code in REFUSED.items()
    )
    ended = confined(tries)

    assert ended.stderr == ""
    expected = [name + " can't start new thread" * (name == "a thread") for name in REFUSED]
    assert ended.stdout.splitlines() == expected


def test_what_a_worker_does_is_allowed() -> None:
    """Waiting, messages with fds, memory, signals, an end."""
    ended = confined(
        "os.ftruncate(memory, 1 << 20)\n"
        "mapped = mmap.mmap(memory, 1 << 20)\n"
        "os.dup2(memory, os.dup(memory)), os.fstat(memory), os.pread(memory, 9, 0)\n"
        "socket.send_fds(one, [b'x'], [memory])\n"
        "again = socket.socket(fileno=other.detach())\n"
        "again.settimeout(0)\n"
        "fd = socket.recv_fds(again, 9, 1)[1][0]\n"
        "os.set_inheritable(fd, True), os.close(fd)\n"
        "waiting = select.epoll()\n"
        "waiting.register(one, select.EPOLLIN), waiting.poll(0), select.poll().poll(1)\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_DFL)\n"
        "several = [bytearray(1 << n) for n in range(24)]\n"
        "os.write(1, b'all of it'), os._exit(7)\n"
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "all of it", "")


def test_a_traceback_still_comes_out() -> None:
    """Without the lines of the source, which is a file."""
    ended = confined("raise ValueError('of a worker')")

    assert ended.returncode == 1
    assert ended.stderr.endswith("ValueError: of a worker\n")
    assert 'File "<string>", line ' in ended.stderr


def test_where_there_is_no_library_the_reason_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where libseccomp is not installed."""
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(UnavailableError, match="pyseccomp") as missing:
        seccomp.worker_filter()

    assert missing.value.fix == "apt install libseccomp2"


def test_a_kernel_without_it_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its status has no such line."""
    status = tmp_path / "status"
    status.write_text("Name: natlb\n")
    monkeypatch.setattr(seccomp, "STATUS", status)
    with pytest.raises(UnavailableError, match="kernel"):
        seccomp.worker_filter()


def test_whom_the_kernel_does_not_hold_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    """Forwarding is worth more than its confinement; and it is said."""

    class Impossible:
        def load(self) -> None:
            raise OSError(22, "Invalid argument")

    seccomp.confine(Impossible())
    seccomp.confine(None)

    assert capfd.readouterr().err == "worker_unfiltered reason='Invalid argument'\n"
