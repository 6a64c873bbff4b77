"""Stands and their labs, without the labs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from natlb.bench import stand as stands
from natlb.bench.peers import PEERS
from natlb.bench.stand import Stand
from natlb.lab.process import this_process

if TYPE_CHECKING:
    import pytest


def paper_stand() -> Stand:
    """Return a stand without a lab."""
    lab: Any = SimpleNamespace(netns=lambda host: f"x-{host}")
    return Stand(forwarder=PEERS[0], lab=lab)


def test_a_sender_is_made_once_for_so_many_flows_and_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thirty thousand frames are not laid out anew each round."""
    made: list[int] = []
    closed: list[int] = []

    def sender_of(_: Any, flows: int) -> Any:
        made.append(flows)
        return SimpleNamespace(close=lambda: closed.append(flows))

    monkeypatch.setattr(stands, "sender_of", sender_of)
    with paper_stand() as stand:
        assert stand.sender(8) is stand.sender(8)
        assert stand.sender(9) is not stand.sender(8)
        assert stand.client == "x-client"

    assert (made, closed) == ([8, 9], [8, 9])


def test_labs_of_this_process_alone_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's lab is another's."""
    labs = {
        "ours": SimpleNamespace(owner=this_process("owner")),
        "theirs": SimpleNamespace(owner=None),
        "gone": None,
    }
    removed: list[str] = []
    monkeypatch.setattr(stands, "names", lambda: list(labs))
    monkeypatch.setattr(stands, "load", labs.get)
    monkeypatch.setattr(stands, "down_lab", lambda name, _: removed.append(name))

    stands.clean_up()

    assert removed == ["ours"]
