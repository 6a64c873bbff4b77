"""The supervisor's side of the keeper; whole deaths are in `test_supervisor`."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from natlb.control.holdings import Holdings
from natlb.control.messages import (
    Alive,
    Hold,
    Message,
    Release,
    Wake,
)
from natlb.control.roles import Role
from natlb.control.supervisor_keeper import KeeperKeeper

if TYPE_CHECKING:
    import pytest


class FakeChild:
    """Keeps what it is told."""

    def __init__(self) -> None:
        """Hear nothing yet."""
        self.told: list[Message] = []
        self.refused: list[str] = []
        self.left = False

    def send(self, message: Message, *_fds: int) -> None:
        """Be told."""
        self.told.append(message)

    def refuse(self, reason: str) -> None:
        """Be refused."""
        self.refused.append(reason)

    def leave(self) -> None:
        """Be asked to leave."""
        self.left = True


def keeper_with(child: FakeChild) -> tuple[KeeperKeeper, Any]:
    """Return a keeper of the keeper, and its supervisor."""
    supervisor: Any = SimpleNamespace(
        loop=SimpleNamespace(now=lambda: 0.0, after=lambda *_: None),
        holdings=Holdings(),
        stopping=False,
        watchdog=SimpleNamespace(answered=lambda *said: answers.append(said)),
        count_death=lambda *_: 0.0,
    )
    answers: list[Any] = []
    supervisor.answers = answers
    keeper = KeeperKeeper(supervisor)
    keeper.child = child  # type: ignore[assignment] # as far as it is used
    return keeper, supervisor


def test_it_is_told_of_all_but_the_socket_that_leads_to_control() -> None:
    """A dead control's socket that somebody held open would answer nobody for seconds."""
    child = FakeChild()
    keeper, _ = keeper_with(child)
    for role in (Role.HANDOVER_LISTENER, Role.FLOWS):
        keeper.tell(Hold(role=role), 0)
    keeper.tell(Release(role=Role.LIFE_CHANNEL))

    assert child.told == [Hold(role=Role.FLOWS), Release(role=Role.LIFE_CHANNEL)]


def test_an_adopted_keeper_forgets_what_is_held_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel to a worker that died meanwhile, say."""
    child = FakeChild()
    keeper, supervisor = keeper_with(child)
    monkeypatch.setattr("natlb.control.supervisor_keeper.Child", lambda *_, **__: child)
    supervisor.holdings.take(Hold(role=Role.FLOWS), os.memfd_create("flows"))
    adopted: Any = SimpleNamespace(control=None, channel=None)
    keeper.adopt(adopted, {(Role.FLOWS, 0), (Role.LIFE_CHANNEL, 0)})
    supervisor.holdings.close()

    assert child.told == [Hold(role=Role.FLOWS), Release(role=Role.LIFE_CHANNEL)]


def test_it_may_say_that_it_lives_and_nothing_else() -> None:
    """It has nothing to tell."""
    child = FakeChild()
    keeper, supervisor = keeper_with(child)
    for message in (Alive(patience_ms=0), Wake()):
        keeper._receive(child, message, [])  # type: ignore[arg-type] # as the loop

    assert supervisor.answers == [(child, Alive(patience_ms=0))]
    assert child.refused == ["Wake is not the keeper's to say"]
