from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from natlb.errors import DeniedError, HostError
from natlb.lab import rights
from natlb.lab.holder import MARK


def test_a_host_without_the_tun_device_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that brings it."""
    monkeypatch.setattr(rights, "TUN", tmp_path / "tun")

    with pytest.raises(HostError, match=r"cannot open .*tun: No such file") as refused:
        rights.check_tun()
    assert "modprobe tun" in (refused.value.fix or "")
    assert refused.value.exit_code == 78


def test_a_tun_device_that_may_not_be_opened_is_told_with_mode_and_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0600 on some hosts, and root's."""
    tun = tmp_path / "tun"
    tun.touch(mode=0o600)
    owner = tun.owner()
    monkeypatch.setattr(rights, "TUN", tun)

    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(
        HostError, match=rf"Permission denied \(mode 0600, owner {owner}\)"
    ) as refused:
        rights.check_tun()
    assert "chmod 0666" in (refused.value.fix or "")


def test_a_tun_device_that_opens_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said, nothing stays open."""
    (tmp_path / "tun").touch()
    monkeypatch.setattr(rights, "TUN", tmp_path / "tun")
    before = len([*Path("/proc/self/fd").iterdir()])
    rights.check_tun()

    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_who_has_the_rights_stays_where_he_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is settled afterwards."""
    monkeypatch.setattr(rights, "_capabilities", lambda: rights.NEEDED)
    monkeypatch.setattr(rights, "_find_holder", None)

    assert rights.enter(make=True)
    rights.settle()


def test_without_rights_and_without_labs_there_is_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`lab ls` makes no namespaces to look into."""
    monkeypatch.setattr(rights, "_capabilities", lambda: 1 << 12)
    monkeypatch.setattr(rights, "_find_holder", lambda: None)
    monkeypatch.setattr(rights, "_start_holder", None)

    assert not rights.enter(make=False)


def test_a_holder_that_was_killed_and_not_waited_for_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It keeps its name and its user namespace, and has nothing left to enter."""
    monkeypatch.setattr(rights, "_entered", [1])  # any user namespace will do
    named = f"open('/proc/self/comm', 'w').write('{MARK}'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", named], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert rights._find_holder() == holder.pid

        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert rights._find_holder() is None


@pytest.fixture
def sysctls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a /proc/sys of this test's own, behind a holder that the host refuses."""
    refuses = tmp_path / "python"
    refuses.write_text('#!/bin/sh\necho \'{"errno": 1, "step": "unshare: not permitted"}\'\n')
    refuses.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(refuses))
    monkeypatch.setattr(rights, "PROC", tmp_path)
    for folder in ("kernel", "user"):
        (tmp_path / "sys" / folder).mkdir(parents=True)
    return tmp_path / "sys"


@pytest.mark.parametrize(
    ("file", "value", "fix"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "10000"),
    ],
)
def test_the_sysctl_in_the_way_is_named(sysctls: Path, file: str, value: str, fix: str) -> None:
    """And how to open it; `sudo` always helps."""
    (sysctls / file).write_text(f"{value}\n")
    key = file.replace("/", ".")

    with pytest.raises(DeniedError, match=f"this host refuses: {key} is {value}") as refused:
        rights._start_holder()
    assert refused.value.fix == f"sudo natlb lab … or sudo sysctl -w {key}={fix}"
    assert refused.value.exit_code == 77


def test_without_a_sysctl_in_the_way_the_refused_step_is_named(sysctls: Path) -> None:
    """A container's seccomp, most often."""
    (sysctls / "user/max_user_namespaces").write_text("96365\n")

    with pytest.raises(DeniedError, match="this host refuses: unshare: not permitted") as refused:
        rights._start_holder()
    assert refused.value.fix == "sudo natlb lab …"
