"""Three system calls that Python before 3.12 lacks: each raises OSError where it is refused."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000  # Linux: sched.h
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8  # Linux: mount.h
MS_REC, MS_SLAVE = 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Have this process in new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Have this process, if it has one thread, in the namespace that `fd` is open on."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Have `source` seen at `target`; what the words mean is in the manual, section 2."""
    words = (os.fsencode(source), os.fsencode(target), os.fsencode(kind))
    _check(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(options)), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        reason = ctypes.get_errno()
        raise OSError(reason, f"{what}: {os.strerror(reason)}")
