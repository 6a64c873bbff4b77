"""Whose word is taken of what a dead supervisor left; whole adoptions are in `test_supervisor`."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control import handover
from natlb.control.fd_store import FdStore
from natlb.control.holdings import Holdings
from natlb.control.messages import (
    HandedOver,
    Hold,
)
from natlb.control.notify import Notifier
from natlb.control.roles import Role
from natlb.control.supervisor_adoption import find

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.control.handover import Adopted

LOCK: Any = SimpleNamespace(previous=object(), token="t", handover="control", keeper="keeper")


def says(restarts: int) -> Adopted:
    """Return one who answers."""
    said = HandedOver(started_ns=1, level=20, json=0, compiled=1, pid=restarts, text=str(restarts))
    process: Any = SimpleNamespace(pid=restarts)
    channel: Any = None
    return handover.Adopted(control=process, channel=channel, said=said)


@pytest.mark.parametrize(
    ("living", "restarts", "words"),
    [
        ({"control": 1, "keeper": 2}, 1, {"control": 1, "keeper": 2}),
        ({"control": 1}, 1, {"control": 1}),
        ({"keeper": 2}, 2, {"keeper": 2}),
    ],
    ids=["both", "control", "keeper"],
)
def test_control_is_believed_first(
    monkeypatch: pytest.MonkeyPatch, living: dict[str, int], restarts: int, words: dict[str, int]
) -> None:
    """It goes on as it is; the keeper has the same, and its fds are not held twice."""

    def ask(path: Path, _token: str, holdings: Holdings) -> Adopted | None:
        name = str(path)
        if name not in living:
            return None
        holdings.take(Hold(role=Role.FLOWS, value=living[name]), os.memfd_create(name))
        return says(living[name])

    monkeypatch.setattr(handover, "ask", ask)
    holdings = Holdings()
    left = find(LOCK, holdings, FdStore(Notifier()))
    held = [said.value for said, _ in holdings]
    holdings.close()

    assert left is not None
    assert (left.said.restarts, left.words()) == ((restarts,), words)
    assert held == [restarts]
    assert left.kept == ({(Role.FLOWS, 0)} if "keeper" in living else set())


def test_where_nobody_answers_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where no instance was before."""
    monkeypatch.setattr(handover, "ask", lambda *_: None)
    assert find(LOCK, Holdings(), FdStore(Notifier())) is None
    new: Any = SimpleNamespace(previous=None)
    assert find(new, Holdings(), FdStore(Notifier())) is None
