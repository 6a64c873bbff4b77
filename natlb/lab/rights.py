"""Where labs can be made: here, with the rights of root, or in a user namespace of one's own.

An ordinary user's labs live in namespaces that a holder process keeps (see `holder`). Each command
enters them, so that `lab exec` finds what `lab up` made. The holder is there while there are labs.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pwd
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from natlb.errors import DeniedError, HostError
from natlb.lab.holder import MARK
from natlb.lab.libc import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, setns
from natlb.lab.record import names

PROC = Path("/proc")
TUN = Path("/dev/net/tun")
NEEDED = 1 << 12 | 1 << 21  # Linux: capability.h, CAP_NET_ADMIN and CAP_SYS_ADMIN
KINDS = {"user": CLONE_NEWUSER, "mnt": CLONE_NEWNS, "net": CLONE_NEWNET}
# What hosts close user namespaces with, and the value that opens them.
SYSCTLS = {
    "kernel.apparmor_restrict_unprivileged_userns": "0",
    "kernel.unprivileged_userns_clone": "1",
    "user.max_user_namespaces": "10000",
}
TUN_FIXES = {
    errno.ENOENT: f"sudo modprobe tun; for a container: --device {TUN}",
    errno.ENODEV: "sudo modprobe tun",
    errno.EPERM: f"for a container: --device {TUN}",
    errno.EACCES: f"sudo natlb lab …, or sudo chmod 0666 {TUN}",
}

_entered: list[int] = []  # the holder whose namespaces this process is in


def enter(*, make: bool) -> bool:
    """Have this process where labs can be made; return whether there is such a place.

    Without the rights that is the user's own namespaces, which only `make` makes.
    """
    if _capabilities() & NEEDED == NEEDED:
        return True
    holder = _find_holder()
    if holder is None and make:
        holder = _start_holder()
    if holder is None:
        return False
    _join(holder)
    _entered[:] = [holder]
    return True


def settle() -> None:
    """After a command in a user's namespaces: have a holder exactly while there are labs."""
    if not _entered:
        return
    with Path("/run/natlb-holder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        alive = _is_holder(PROC / str(_entered[0]))
        if not names() and alive:
            os.kill(_entered[0], signal.SIGKILL)
        if names() and not alive:  # another command ended it while this one made a lab
            _entered[:] = [_start_holder("--inside")]


def check_tun() -> None:
    """Raise HostError if this process may not open the TUN device, saying what was seen.

    Asked before `enter`, which changes nothing about it: after it all owners look alike.
    """
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        reason = error.errno or 0
        seen = f" ({_describe(TUN.stat())})" if TUN.exists() else ""
        fix = TUN_FIXES.get(reason, "sudo natlb lab …")
        raise HostError(f"cannot open {TUN}: {os.strerror(reason)}{seen}", fix=fix) from error


def _describe(seen: os.stat_result) -> str:
    with suppress(KeyError):
        owner = pwd.getpwuid(seen.st_uid).pw_name
        return f"mode {stat.S_IMODE(seen.st_mode):04o}, owner {owner}"
    return f"mode {stat.S_IMODE(seen.st_mode):04o}, owner {seen.st_uid}"


def _capabilities() -> int:
    lines = (PROC / "self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)


def _find_holder() -> int | None:
    """Return the pid of this user's holder."""
    found = (entry for entry in PROC.iterdir() if entry.name.isdigit() and _is_holder(entry))
    return next((int(entry.name) for entry in found), None)


def _is_holder(entry: Path) -> bool:
    with suppress(OSError):
        (entry / "ns/mnt").readlink()  # one that was killed loses it first, and its name last
        ours = entry.stat().st_uid == os.geteuid()
        return ours and (entry / "comm").read_text().strip() == MARK and _differs(entry)
    return False


def _differs(entry: Path) -> bool:
    """Return whether the process is in a user namespace that is not ours, or ours by entering."""
    places = [(at / "ns/user").readlink() for at in (entry, PROC / "self")]
    return bool(_entered) or places[0] != places[1]


def _start_holder(*arguments: str) -> int:
    """Return the pid of a new holder; DeniedError with the sysctl that is in the way."""
    with subprocess.Popen(
        [sys.executable, "-m", "natlb.lab.holder", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it stays, and must keep no pipe of ours open
        cwd="/",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        answer = process.stdout.read()
        if answer != b"ready":
            raise _refused(json.loads(answer or b"{}"))
        process.returncode = 0  # it stays, and is nobody's to wait for
    return process.pid


def _refused(answer: dict[str, Any]) -> DeniedError:
    closed = [f"{key} is {_sysctl(key)}" for key, value in SYSCTLS.items() if _closes(key, value)]
    why = "; ".join(closed) or answer.get("step", "the process that makes it ended")
    fixes = [
        f"sudo sysctl -w {key}={value}" for key, value in SYSCTLS.items() if _closes(key, value)
    ]
    return DeniedError(
        f"need root, or a user namespace, which this host refuses: {why}",
        fix=" or ".join(["sudo natlb lab …", *fixes]),
    )


def _sysctl(key: str) -> str | None:
    with suppress(OSError):
        return (PROC / "sys" / key.replace(".", "/")).read_text().strip()
    return None


def _closes(key: str, value: str) -> bool:
    """Return whether a sysctl of this host keeps ordinary users from namespaces."""
    seen = _sysctl(key)
    return seen is not None and (seen == "0" if value != "0" else seen != "0")


def _join(holder: int) -> None:
    here = Path.cwd()
    with ExitStack() as stack:
        places = {kind: PROC / str(holder) / "ns" / kind for kind in KINDS}
        fds = {kind: os.open(place, os.O_RDONLY) for kind, place in places.items()}
        for fd in fds.values():
            stack.callback(os.close, fd)
        try:
            for kind, flag in KINDS.items():
                setns(fds[kind], flag)
        except OSError as error:
            many = "; it has more than one thread" if error.errno == errno.EINVAL else ""
            raise HostError(
                f"cannot enter the namespaces of pid {holder}: {error}{many}"
            ) from error
    os.chdir(here)
