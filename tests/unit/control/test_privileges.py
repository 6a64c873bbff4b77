"""Rights given up, in processes that end with them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from natlb.control import privileges
from natlb.errors import DeniedError

if TYPE_CHECKING:
    from pathlib import Path

REPORT = (
    "import pathlib; print(''.join(line for line in open('/proc/self/status')"
    " if line.startswith(('Cap', 'NoNew', 'Uid', 'Gid', 'Groups'))))"
)
USER, NOBODY, KEEP = 64999, 65534, "drop_capabilities_keep_uid"
# A process that becomes a user without root, and keeps rights as a service manager gives them:
# PR_SET_KEEPCAPS (8), then PR_CAP_AMBIENT_RAISE (2) for each.
AMBIENT = f"""
import ctypes, os
kept = (5, 6, 7, 12, 13)
libc = ctypes.CDLL(None)
libc.prctl(8, 1, 0, 0, 0)
os.setgroups([])
os.setresgid({USER}, {USER}, {USER})
os.setresuid({USER}, {USER}, {USER})
sets = (privileges._Sets * 2)()
sets[0] = (sum(1 << each for each in kept),) * 3
header = privileges._Header(privileges.CAPABILITY_VERSION_3, 0)
assert libc.capset(ctypes.byref(header), ctypes.byref(sets)) == 0
assert all(libc.prctl(47, 2, each, 0, 0) == 0 for each in kept)
"""
ALL = 1 << privileges.CAP_NET_ADMIN | 1 << privileges.CAP_NET_RAW


def after(call: str, *prefix: str, begin: str = "") -> dict[str, list[str]]:
    """Return a process's status once it made this call, and what the call returned."""
    code = "\n".join(
        ("from natlb.control import privileges", begin, f"print('Result:', privileges.{call}())")
    )
    code = f"{code}; {REPORT}"
    ended = subprocess.run([*prefix, sys.executable, "-c", code], capture_output=True, check=True)
    lines = ended.stdout.decode().splitlines()
    return {line.partition(":")[0]: line.partition(":")[2].split() for line in lines if line}


def has_nothing(status: dict[str, list[str]]) -> bool:
    """Return whether no capability is left or to be had."""
    sets = ("CapInh", "CapPrm", "CapEff", "CapAmb")
    return all(int(status[name][0], 16) == 0 for name in sets) and status["NoNewPrivs"] == ["1"]


def test_a_worker_ends_as_nobody_without_a_capability() -> None:
    """Where the user may not change, the capabilities go all the same."""
    status = after("drop_to_nobody")

    assert has_nothing(status)
    if os.geteuid() == 0:
        assert status["Result"] == ["True"]
        assert status["Uid"] == status["Gid"] == ["65534"] * 4
        assert status["Groups"] == []
        assert int(status["CapBnd"][0], 16) == 0


def test_control_keeps_its_uid_and_no_capability() -> None:
    """The configuration files are root's."""
    status = after("drop_capabilities_keep_uid")

    assert has_nothing(status)
    assert status["Uid"] == [str(os.getuid())] * 4


def test_in_a_user_namespace_with_one_id_the_capabilities_go_alone() -> None:
    """The kernel refuses another uid there; the caller is told."""
    unshare = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    status = after("drop_to_nobody", *unshare)

    assert has_nothing(status)
    assert status["Result"] == ["False"]
    assert status["Uid"] == ["0"] * 4


def test_the_first_missing_capability_is_named_with_its_purpose() -> None:
    """And the command again, with the right to do it."""
    privileges.require_capabilities("natlb run -c f", ALL)
    with pytest.raises(
        DeniedError, match=r"^need CAP_NET_ADMIN to set up devices, routes and rules$"
    ) as denied:
        privileges.require_capabilities("natlb run -c f", 0)
    with pytest.raises(DeniedError, match=r"^need CAP_NET_RAW "):
        privileges.require_capabilities("natlb run -c f", 1 << privileges.CAP_NET_ADMIN)

    assert denied.value.fix == "sudo natlb run -c f"
    assert denied.value.exit_code == 77


def test_whoever_can_change_the_uid_must_be_able_to_kill_another_users_process() -> None:
    """A worker that is nobody's and hangs could not be ended; without the change all are ours."""
    setuid, setgid = 1 << privileges.CAP_SETUID, 1 << privileges.CAP_SETGID
    for enough in (setuid, setgid, setuid | setgid | 1 << privileges.CAP_KILL):
        privileges.require_capabilities("natlb run -c f", ALL | enough)
    with pytest.raises(DeniedError, match=r"^need CAP_KILL to end workers"):
        privileges.require_capabilities("natlb run -c f", ALL | setuid | setgid)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user with rights")
@pytest.mark.parametrize(
    ("call", "result", "uid"), [("drop_to_nobody", "True", NOBODY), (KEEP, "None", USER)]
)
def test_ambient_capabilities_of_a_user_go_as_roots_do(call: str, result: str, uid: int) -> None:
    """From one user to another the kernel takes none away by itself; the bounding set stays."""
    status = after(call, begin=AMBIENT)

    assert has_nothing(status)
    assert status["Result"] == [result]
    assert status["Uid"] == status["Gid"] == [str(uid)] * 4


def test_a_status_file_is_read_by_the_line(tmp_path: Path) -> None:
    """As proc(5) has it."""
    status = tmp_path / "status"
    status.write_text("CapPrm:\tff\nCapEff:\t0000003fffffffff\nNoNewPrivs:\t1\n")

    assert privileges.effective_capabilities(status) == 0x3FFFFFFFFF
    assert privileges.has_no_new_privileges(status)
    status.write_text("")
    with pytest.raises(ValueError, match="no line CapEff"):
        privileges.effective_capabilities(status)
