from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from natlb.lab import holder


def test_what_the_host_refuses_is_told_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that started it makes the message of it."""

    def refused() -> None:
        raise OSError(errno.EPERM, "unshare: Operation not permitted")

    monkeypatch.setattr(sys, "argv", ["holder"])
    monkeypatch.setattr(holder, "leave_host", refused)

    with pytest.raises(SystemExit) as ended:
        holder.main()
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["errno"] == errno.EPERM


def test_it_can_be_told_by_its_name_once_it_can_be_entered() -> None:
    """Commands look for the name: without it the namespaces are not complete."""
    command = [sys.executable, "-m", "natlb.lab.holder", "--inside"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.read() == b"ready"
            assert Path(f"/proc/{process.pid}/comm").read_text() == f"{holder.MARK}\n"
        finally:
            process.kill()
