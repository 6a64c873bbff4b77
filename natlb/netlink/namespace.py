"""Network namespaces: made, deleted, listed, entered; and the files under /proc/sys in each.

Names are those of `ip netns`: a name is a bind mount under /run/netns. A thread enters a namespace
alone, the others of its process stay where they are, so nothing here forks. Python before 3.12
has no `setns`, so the four system calls are made through libc.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from natlb.errors import DeniedError, HostError, NatlbError
from natlb.netlink.values import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")

NAMESPACES = Path("/run/netns")
HERE = Path("/proc/thread-self/ns/net")  # not /proc/self: that is the main thread's

CLONE_NEWNET = 0x40000000  # Linux: sched.h
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 0x100000  # Linux: mount.h
MNT_DETACH = 2  # Linux: fs.h

READ_ONLY = "start the container with --privileged: else its /proc/sys is read-only"

_libc = ctypes.CDLL(None, use_errno=True)


def refuse(what: str, reason: int, detail: str = "", *, need: str = "CAP_NET_ADMIN") -> NatlbError:
    """Return the exception for a kernel's refusal: a missing right, or what the host cannot do."""
    if reason in (errno.EPERM, errno.EACCES):
        return DeniedError(f"need {need}: {what}", fix="sudo natlb …")
    fix = READ_ONLY if reason == errno.EROFS else None
    return KernelError(what, reason, detail, fix=fix)


def _call(what: str, name: str, *arguments: bytes | int | None) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise refuse(what, ctypes.get_errno(), need="CAP_SYS_ADMIN")


def identity(name: str | None = None) -> int:
    """Return the inode number that is the namespace: of this thread, or of the one named."""
    return (HERE if name is None else _path(name)).stat().st_ino


def namespaces() -> list[str]:
    """Return the names of all namespaces, sorted."""
    if not NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in NAMESPACES.iterdir())


def create_namespace(name: str) -> None:
    """Make a namespace called `name`, its loopback device still down.

    A new thread unshares, binds its namespace to the name and ends.
    """
    what = f"cannot make network namespace {name}"
    _share_directory(what)
    path = NAMESPACES / name
    try:
        path.touch(mode=0o444, exist_ok=False)
    except OSError as error:
        raise refuse(what, error.errno or 0, need="CAP_SYS_ADMIN") from error
    try:
        _in_thread(lambda: _bind_new(what, path))
    except NatlbError:
        path.unlink()
        raise


def delete_namespace(name: str) -> None:
    """Take the name away; the namespace goes when the last process in it has gone."""
    what = f"cannot delete network namespace {name}"
    path = _path(name)
    try:
        _call(what, "umount2", os.fsencode(path), MNT_DETACH)
    except KernelError as error:
        if error.errno != errno.EINVAL:  # EINVAL: a name that nothing is mounted on
            raise
    path.unlink()


@contextmanager
def inside(name: str | None) -> Iterator[None]:
    """Have this thread in the namespace `name` for the length of the block; None: stay here.

    No `await` inside the block: the other tasks of the thread would move along.
    """
    if name is None:
        yield
        return
    what = f"cannot enter network namespace {name}"
    with _opened(HERE) as here:
        with _opened(_path(name)) as there:
            _call(what, "setns", there, CLONE_NEWNET)
        try:
            yield
        finally:
            _call(f"cannot leave network namespace {name}", "setns", here, CLONE_NEWNET)


def call_inside(name: str | None, function: Callable[[], Result]) -> Result:
    """Return what `function()` gives, run by a thread of its own in the namespace `name`."""

    def entered() -> Result:
        with inside(name):
            return function()

    return _in_thread(entered)


def read_sysctl(key: str, *, netns: str | None = None) -> str | None:
    """Return the value of /proc/sys/`key` in that namespace; None where this kernel has no such."""
    with inside(netns):
        try:
            return (Path("/proc/sys") / key).read_text().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refuse(f"cannot read sysctl {key}", error.errno or 0) from error


def write_sysctl(key: str, value: str, *, netns: str | None = None) -> None:
    """Set /proc/sys/`key` in that namespace. `key` has slashes: interface names may have dots."""
    with inside(netns):
        try:
            (Path("/proc/sys") / key).write_text(value)
        except OSError as error:
            raise refuse(f"cannot set sysctl {key} to {value}", error.errno or 0) from error


def sysctl_names(key: str, *, netns: str | None = None) -> list[str]:
    """Return the names in the directory /proc/sys/`key` of that namespace, sorted."""
    with inside(netns):
        directory = Path("/proc/sys") / key
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def _path(name: str) -> Path:
    path = NAMESPACES / name
    if "/" in name or name in ("", ".", "..") or not path.exists():
        known = ", ".join(namespaces()) or "none"
        fix = f"ip netns add {name}   (there are: {known})"
        raise HostError(f"no network namespace {name!r} in {NAMESPACES}", fix=fix)
    return path


def _share_directory(what: str) -> None:
    """Make the directory of names a shared mount, as `ip netns` does, so that names reach all."""
    NAMESPACES.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory = os.fsencode(NAMESPACES)
    try:
        _call(what, "mount", b"", directory, b"none", MS_SHARED | MS_REC, None)
    except KernelError as error:
        if error.errno != errno.EINVAL:  # EINVAL: not a mount yet
            raise
        _call(what, "mount", directory, directory, b"none", MS_BIND | MS_REC, None)
        _call(what, "mount", b"", directory, b"none", MS_SHARED | MS_REC, None)


def _bind_new(what: str, path: Path) -> None:
    _call(what, "unshare", CLONE_NEWNET)
    _call(what, "mount", os.fsencode(HERE), os.fsencode(path), b"none", MS_BIND, None)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _in_thread(function: Callable[[], Result]) -> Result:
    """Return what `function()` gives in a new thread, or raise what it raised."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as failure:  # noqa: BLE001 - raised again by the caller
            failures.append(failure)

    thread = Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
