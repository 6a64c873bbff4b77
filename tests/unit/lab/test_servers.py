from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from natlb.errors import HostError, WaitTimeoutError
from natlb.lab import process, servers
from natlb.lab.process import stop
from natlb.lab.servers import start_backends
from natlb.lab.topology import Server, Topology, load_topology

if TYPE_CHECKING:
    from natlb.lab.record import Lab


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Topology:
    """Return a topology with one backend, which is started here and in no namespace."""
    monkeypatch.setattr(
        servers, "start", lambda _, *rest, **more: process.start(None, *rest, **more)
    )
    with socket.create_server(("", 0)) as free:
        server = Server(http=free.getsockname()[1])
    return replace(load_topology("basic"), backends={"b1": server})


def test_a_backend_is_started_once_and_again_when_it_has_died(lab: Lab, paper: Topology) -> None:
    """`up` twice starts nothing the second time."""
    lab = start_backends(lab, paper)
    try:
        assert start_backends(lab, paper) == lab
        first = lab.process("backend", "b1")
        assert first is not None
        stop([first.pid], grace=5.0)
        lab = start_backends(lab, paper)
        second = lab.process("backend", "b1")
        assert second is not None
        assert second != first
        assert lab.processes == (second,)
    finally:
        stop([each.pid for each in lab.processes], grace=5.0)


def test_a_backend_that_cannot_listen_is_told_with_its_last_word(lab: Lab, paper: Topology) -> None:
    """A port in use, most often."""
    port = paper.backends["b1"].http
    with socket.create_server(("", port)), pytest.raises(HostError, match=r"b1 ended: .*in use"):
        start_backends(lab, paper)


def test_a_backend_that_says_nothing_is_not_waited_for_for_ever(
    lab: Lab, paper: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter may hang on a broken disk."""
    begun = []

    def sleeper(_: str, __: list[str], **streams: int) -> int:
        begun.append(process.start(None, ["sleep", "60"], **streams))
        return begun[0]

    monkeypatch.setattr(servers, "start", sleeper)
    monkeypatch.setattr(servers, "START_SECONDS", 0.05)

    with pytest.raises(WaitTimeoutError, match="backend b1 does not listen"):
        start_backends(lab, paper)
    stop(begun, grace=0.0)
