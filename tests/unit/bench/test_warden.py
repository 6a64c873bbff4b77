"""The warden waits for the end of who started it, and goes with it where all is well."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from natlb.bench import warden
from natlb.lab.process import start_time


def test_the_warden_is_there_for_the_length_of_the_block() -> None:
    """And is collected: no zombie, no process left."""
    with warden.watched() as pid:
        assert start_time(pid) is not None

    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_run_that_ended_before_the_warden_looked_is_over() -> None:
    """Its number may be another's by then; nobody may wait for that one."""
    warden.wait_for_end(os.getpid())  # not the parent of this process
    warden.wait_for_end(2**22 + 1)  # nobody


def test_what_is_left_is_removed_once_the_run_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order."""
    done: list[Any] = []
    monkeypatch.setattr(sys, "argv", ["warden", "1234"])
    monkeypatch.setattr(warden, "wait_for_end", done.append)
    monkeypatch.setattr(warden, "remove_abandoned", lambda say: done.append(say("removed")))

    warden.main()

    assert done == [1234, None]
