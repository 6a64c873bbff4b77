"""When what a crash left may be taken back, and when it is no crash yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from natlb.control import host
from natlb.control.cleanup import CAP_NET_ADMIN, cleanup, is_running
from natlb.control.directory import INSTANCE_VARIABLE, take_lock
from natlb.control.listener import handover_listener
from natlb.errors import BusyError, DeniedError, HostError

RIGHTS = 1 << CAP_NET_ADMIN


@pytest.fixture
def undone(monkeypatch) -> list[Path]:
    """Put a function in the place of the host's own cleanup, and return what it is asked."""
    asked: list[Path] = []

    def undo(journal: host.Journal) -> list[str]:
        asked.append(journal.path)
        return ["rule 10"]

    monkeypatch.setattr(host, "cleanup", undo)
    return asked


def test_without_the_right_nothing_is_touched(tmp_path, undone) -> None:
    """And the right that is missing is named."""
    with pytest.raises(DeniedError, match="CAP_NET_ADMIN"):
        cleanup(tmp_path / "1", effective=0)

    assert not (tmp_path / "1").exists()


def test_where_nothing_ever_ran_nothing_is_left(tmp_path, undone) -> None:
    """The marks are looked for all the same; the directory goes as it came."""
    assert cleanup(tmp_path / "1", RIGHTS) == ["rule 10"]
    assert undone == [tmp_path / "1" / "journal"]
    assert not (tmp_path / "1").exists()


def test_a_living_supervisor_is_busy(tmp_path, undone) -> None:
    """Its network is in use."""
    lock = take_lock(tmp_path / "1")
    with pytest.raises(BusyError, match=str(os.getpid())):
        cleanup(tmp_path / "1", RIGHTS)
    lock.release()

    assert not undone


def test_a_living_control_without_a_supervisor_is_busy_and_stays_whole(tmp_path, undone) -> None:
    """Packets are forwarded: the next `natlb run` is to find everything it needs."""
    take_lock(tmp_path / "1").release()
    with handover_listener(tmp_path / "1" / "handover"):
        with pytest.raises(BusyError, match="supervisor is dead") as caught:
            cleanup(tmp_path / "1", RIGHTS)

        assert "natlb run" in str(caught.value.fix)
        assert is_running(tmp_path / "1")
    assert not undone
    assert (tmp_path / "1" / "lock").exists()


def test_a_worker_that_outlived_both_is_ended(tmp_path, undone) -> None:
    """Nobody can take it over."""
    lock = take_lock(tmp_path / "1")
    lock.release()
    environment = os.environ | {INSTANCE_VARIABLE: lock.token}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=environment) as orphan:
        words = cleanup(tmp_path / "1", RIGHTS)
        status = orphan.wait(10)

    assert words == [f"process {orphan.pid}", "rule 10"]
    assert status == -9


def test_a_journal_that_cannot_be_read_stays(tmp_path, monkeypatch) -> None:
    """It is all that is known of what to undo."""

    def undo(_journal: host.Journal) -> list[str]:
        raise HostError("torn")

    monkeypatch.setattr(host, "cleanup", undo)
    with pytest.raises(HostError):
        cleanup(tmp_path / "1", RIGHTS)

    assert (tmp_path / "1" / "lock").exists()
    take_lock(tmp_path / "1").release()


def test_a_socket_nobody_listens_at_is_not_running(tmp_path) -> None:
    """A file is left of every dead one."""
    handover_listener(tmp_path / "handover").close()

    assert (tmp_path / "handover").exists()
    assert not is_running(tmp_path)
    assert not is_running(tmp_path / "none")


def test_the_kernels_table_is_read_as_it_is(tmp_path) -> None:
    """Sockets without a name, connections, and names with blanks."""
    table = tmp_path / "unix"
    head = "Num       RefCount Protocol Flags    Type St Inode Path\n"
    row = "0000000000000000: 00000002 00000000 {} 0005 01 11 {}\n"
    for text, running in (
        (head, False),
        (head + row.format("00000000", "").rstrip() + "\n", False),
        (head + row.format("00000000", "/run/natlb/1/handover"), False),
        (head + row.format("00010000", "/run/natlb/1/handover"), True),
        (head + row.format("00010000", "/a b/handover"), False),
    ):
        table.write_text(text)
        assert is_running(Path("/run/natlb/1"), table) == running
    assert is_running(Path("/a b"), table)
