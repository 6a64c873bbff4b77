"""The lock of an instance, and what another namespace left under the same number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from natlb.control.directory import (
    Holder,
    namespace_identity,
    own_directory,
    take_lock,
)
from natlb.control.doors import DoorNumber
from natlb.control.listener import api_listener
from natlb.errors import BusyError


def test_a_lock_is_refused_while_it_is_held_and_names_the_holder(tmp_path: Path) -> None:
    """Two supervisors would undo each other's network."""
    lock = take_lock(tmp_path / "1")

    with pytest.raises(BusyError, match=f"process {os.getpid()} holds"):
        take_lock(tmp_path / "1")
    lock.release()
    take_lock(tmp_path / "1").release()


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """Whatever ended it; and the next one knows who it was."""
    code = (
        "import sys, os, pathlib; from natlb.control.directory import take_lock;"
        f"lock = take_lock(pathlib.Path({str(tmp_path / '1')!r})); print(os.getpid(), lock.token);"
        "sys.stdout.flush(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    pid, token = ended.stdout.decode().split()
    lock = take_lock(tmp_path / "1")

    assert lock.previous == Holder(pid=int(pid), token=token, namespace=namespace_identity())
    assert lock.token == token
    lock.release()


def test_no_child_inherits_the_lock(tmp_path: Path) -> None:
    """It would be held after the supervisor's end."""
    lock = take_lock(tmp_path / "1")
    code = "import pathlib\nfor fd in pathlib.Path('/proc/self/fd').iterdir(): print(fd.resolve())"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert str(tmp_path) not in seen.stdout.decode()
    lock.release()


def test_what_another_namespace_left_is_forgotten_and_not_undone(tmp_path: Path) -> None:
    """The kernel gives the number of a namespace out again."""
    directory = tmp_path / "1"
    directory.mkdir()
    (directory / "lock").write_text("17 abcdef boot:99\n")
    (directory / "journal").write_text("something to undo elsewhere")
    lock = take_lock(directory)

    assert lock.previous is None
    assert lock.token != "abcdef"
    assert not lock.journal.exists()
    lock.release()


def test_a_journal_of_this_namespace_stays(tmp_path: Path) -> None:
    """It is to be undone."""
    directory = tmp_path / "1"
    directory.mkdir()
    (directory / "lock").write_text(f"17 abcdef {namespace_identity()}\n")
    (directory / "journal").write_text("something to undo")
    lock = take_lock(directory)

    assert lock.token == "abcdef"
    assert lock.journal.exists()
    lock.release()


@pytest.mark.parametrize("text", ["", "x y z", "12 token", "12 token space more", "\0" * 40])
def test_a_lock_file_that_says_nothing_is_as_good_as_new(tmp_path: Path, text: str) -> None:
    """A crash may tear it."""
    directory = tmp_path / "1"
    directory.mkdir()
    (directory / "lock").write_text(text)
    lock = take_lock(directory)

    assert Holder.parse(text) is None
    assert lock.previous is None
    lock.release()


def test_nothing_is_left_of_a_directory_that_is_removed(tmp_path: Path) -> None:
    """And a lock that was just removed by its holder is no lock."""
    lock = take_lock(tmp_path / "1")
    lock.api().touch()
    lock.handover.touch()
    lock.remove()
    again = take_lock(tmp_path / "1")
    lock.release()

    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["lock"]
    again.remove()
    again.release()
    assert not (tmp_path / "1").exists()


def test_a_directory_is_named_by_the_namespace() -> None:
    """Commands find the instance of the namespace they run in."""
    number = Path("/proc/self/ns/net").stat().st_ino

    assert own_directory().name == str(number)
    assert str(own_directory()).startswith("/run/natlb/")


def test_commands_find_an_api_that_listens_elsewhere(tmp_path: Path) -> None:
    """By a link where they look; whatever a crash left there makes way."""
    lock = take_lock(tmp_path / "1")
    lock.api().write_text("a dead socket")

    lock.lead_to(tmp_path / "own.sock")
    assert lock.api().readlink() == tmp_path / "own.sock"
    lock.lead_to(tmp_path / "other.sock")
    assert lock.api().readlink() == tmp_path / "other.sock"
    lock.lead_to(lock.api())
    assert not lock.api().is_symlink()
    lock.remove()
    lock.release()


def test_a_stopped_instance_leaves_no_link(tmp_path: Path) -> None:
    """And no directory."""
    lock = take_lock(tmp_path / "1")
    lock.lead_to(tmp_path / "own.sock")
    lock.remove()
    lock.release()

    assert not (tmp_path / "1").exists()


def test_a_stopped_instance_leaves_no_socket_elsewhere(folder: Path) -> None:
    """What a crash left behind a link goes with it; another file that is there does not."""
    lock = take_lock(folder / "1")
    api_listener(folder / "own.sock").close()
    (folder / "own-read.sock").write_text("precious")
    lock.lead_to(folder / "own.sock")
    lock.lead_to(folder / "own-read.sock", DoorNumber.READ)
    lock.remove()
    lock.release()

    assert [path.name for path in folder.iterdir()] == ["own-read.sock"]


def test_the_socket_of_another_instance_stays(folder: Path) -> None:
    """Who was to listen at its place, and could not, leaves it alone."""
    living = api_listener(folder / "own.sock")
    lock = take_lock(folder / "1")
    lock.lead_to(folder / "own.sock")
    lock.remove()
    lock.release()
    living.close()

    assert [path.name for path in folder.iterdir()] == ["own.sock"]
