"""Rights given up for good: what workers and control do before they see a packet or a request.

    worker    user and group nobody; no capability and none to be had again (no_new_privs)
    control   the same, but keeps its uid, which the configuration files let read them

In a user namespace with a single id the uid cannot change: then the capabilities go alone, and the
caller is told so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from natlb.errors import DeniedError

NOBODY = 65534
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7  # Linux: capability.h
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 47  # Linux: prctl.h
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
NEEDED = {
    CAP_NET_ADMIN: "CAP_NET_ADMIN to set up devices, routes and rules",
    CAP_NET_RAW: "CAP_NET_RAW to send packets as they are",
}
CHANGES_USER = 1 << CAP_SETUID | 1 << CAP_SETGID


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def effective_capabilities(status: Path = Path("/proc/self/status")) -> int:
    """Return the capabilities in force for a process, as a mask."""
    return _status_field(status, "CapEff", 16)


def has_no_new_privileges(status: Path = Path("/proc/self/status")) -> bool:
    """Return whether no exec can give this process a right again."""
    return _status_field(status, "NoNewPrivs", 10) == 1


def _status_field(status: Path, name: str, base: int) -> int:
    for line in status.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value, base)
    raise ValueError(f"{status} has no line {name}")


def require_capabilities(command: str, effective: int) -> None:
    """Return where `effective` suffices to run natlb; else DeniedError names what is missing.

    Whoever can make a worker another user's must be able to end it: one that hangs would stay.
    """
    needed = dict(NEEDED)
    if effective & CHANGES_USER == CHANGES_USER:
        needed[CAP_KILL] = "CAP_KILL to end workers: CAP_SETUID and CAP_SETGID make them nobody's"
    for capability, purpose in needed.items():
        if not effective >> capability & 1:
            raise DeniedError(f"need {purpose}", fix=f"sudo {command}")


def drop_to_nobody() -> bool:
    """Give up every capability and become nobody; return whether the uid could be changed.

    Ends in CapEff 0 and no_new_privs, or raises OSError: a half-dropped process must not go on.
    """
    _drop_bounding_set()
    changed = _become_nobody()
    _drop_all_capabilities()
    return changed


def drop_capabilities_keep_uid() -> None:
    """Give up every capability and keep the uid, or raise OSError."""
    _drop_bounding_set()
    _drop_all_capabilities()


def _become_nobody() -> bool:
    """Change user, group and groups; without the right, or without the id, stay who we are."""
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return False
    return True


def _drop_bounding_set() -> None:
    # Needs CAP_SETPCAP; without it no_new_privs alone keeps file capabilities out.
    with contextlib.suppress(PermissionError):
        for capability in range(int(LAST_CAPABILITY.read_text()) + 1):
            _prctl(PR_CAPBSET_DROP, capability)


def _drop_all_capabilities() -> None:
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(CAPABILITY_VERSION_3, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref((_Sets * 2)())) != 0:
        raise _error("capset")
    if effective_capabilities() != 0 or not has_no_new_privileges():
        raise PermissionError("capabilities are still in force after they were dropped")


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(argument), unused, unused, unused) != 0:
        raise _error(f"prctl {option}")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
