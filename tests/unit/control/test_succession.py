"""Who may take the place of one that lives; whole replacements are in `test_supervisor`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from natlb.control import succession
from natlb.control.code import state_version
from natlb.control.directory import take_lock
from natlb.control.listener import handover_listener
from natlb.control.succession import require_readable_state, take_lock_from
from natlb.errors import BusyError

if TYPE_CHECKING:
    from pathlib import Path


def test_state_of_another_layout_is_refused_while_somebody_lives(folder: Path) -> None:
    """It says which layouts, and what to do; a dead one's is not in the way."""
    take_lock(folder, "0.1.0+old", "3.1.1").release()
    require_readable_state(folder)
    with (
        handover_listener(folder / "keeper"),
        pytest.raises(BusyError, match=r"natlb 0\.1\.0\+old .* layout 3\.1\.1,") as refused,
    ):
        require_readable_state(folder)

    assert refused.value.fix is not None
    assert f"kill {os.getpid()} " in refused.value.fix


@pytest.mark.parametrize("state", ["", state_version()], ids=["unknown", "ours"])
def test_state_of_our_layout_is_taken_over(folder: Path, state: str) -> None:
    """Nothing is said."""
    take_lock(folder, "code", state).release()
    with handover_listener(folder / "keeper"):
        require_readable_state(folder)


def test_where_nobody_was_nothing_is_refused(folder: Path) -> None:
    """Nor asked."""
    require_readable_state(folder)
    take_lock_from(folder, "code", "state").release()


def test_one_that_does_not_step_aside_is_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once, waited for, and then busy."""
    asked: list[int] = []
    monkeypatch.setattr(succession, "_ask", asked.append)
    monkeypatch.setattr(succession, "SECONDS_TO_STEP_ASIDE", 0.1)
    lock = take_lock(folder)
    with pytest.raises(BusyError):
        take_lock_from(folder, "code", "state")
    lock.release()

    assert asked == [os.getpid()]
