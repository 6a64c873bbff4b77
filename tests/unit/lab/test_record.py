from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from natlb.errors import UnknownNameError, UsageError
from natlb.lab import record
from natlb.lab.process import Process, this_process

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.lab.record import Lab


def test_what_is_saved_is_what_is_loaded(lab: Lab) -> None:
    """A later command knows all that the first one knew."""
    process = Process(host="b1", role="backend", pid=7, started=9)
    full = record.save(replace(lab, processes=(process,), socket="/run/natlb/1/natlb.sock"))

    assert record.load("paper") == full == record.find("paper")
    assert record.names() == ["paper"]


def test_an_unknown_lab_is_answered_with_the_known_ones(lab: Lab) -> None:
    """And with the command that makes it."""
    assert record.load("pepper") is None

    with pytest.raises(UnknownNameError, match="no lab 'pepper'; there are: paper") as refused:
        record.find("pepper")
    assert refused.value.fix == "natlb lab up pepper"


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "x" * 33, "lab\n"])
def test_a_name_that_is_no_file_name_is_refused(labs: Path, name: str) -> None:
    """Names become paths and names of namespaces."""
    with pytest.raises(UsageError, match="is no lab name"):
        record.load(name)


def test_an_unknown_host_is_answered_with_the_known_ones(lab: Lab) -> None:
    """`lab exec lab b9` says which there are."""
    assert lab.netns("b1") == "paper-b1"

    with pytest.raises(UnknownNameError, match=r"no host 'b9' .*; there are client, lb, b1"):
        lab.netns("b9")


def test_a_process_started_again_takes_the_place_of_the_dead_one(lab: Lab) -> None:
    """One process for each role and host."""
    dead = Process(host="b1", role="backend", pid=1, started=-1)
    living = replace(this_process("backend"), host="b1")

    lab = lab.with_process(dead)
    assert lab.process("backend", "b1") is None
    lab = lab.with_process(living)
    assert lab.processes == (living,)
    assert lab.process("backend", "b1") == living
    assert lab.process("natlb", "b1") is None


def test_the_owner_is_the_process_with_that_role(lab: Lab) -> None:
    """A lab of no demo has none."""
    owner = this_process("owner")

    assert lab.owner is None
    assert lab.with_process(owner).owner == owner


def test_forgetting_leaves_no_file_and_no_directory(lab: Lab, labs: Path) -> None:
    """The directory of all labs goes with the last one."""
    (lab.directory / "state").mkdir()
    (lab.directory / "state" / "x").write_text("y")
    record.forget(lab)

    assert not labs.exists()


def test_the_lock_of_a_lab_that_never_came_to_be_leaves_nothing(labs: Path) -> None:
    """`up` with a topology that fails must not leave an empty directory."""
    with record.locked("new"):
        assert (labs / "new").is_dir()

    assert not labs.exists()


def test_a_lock_that_went_with_its_lab_is_tried_again(lab: Lab, labs: Path) -> None:
    """Who waited for `down` must not go on with the directory that `down` removed."""
    got = []

    def second() -> None:
        with record.locked("paper"):
            got.append([*(labs / "paper").iterdir()])

    with record.locked("paper"):
        waiting = Thread(target=second)
        waiting.start()
        record.forget(lab)
    waiting.join()

    assert got == [[]]
    assert not (labs / "paper").exists()


def test_a_lab_is_held_by_one_at_a_time(lab: Lab) -> None:
    """Two `up` of one lab make it once."""
    fd = os.open(lab.directory, os.O_RDONLY)
    with record.locked("paper"), pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
