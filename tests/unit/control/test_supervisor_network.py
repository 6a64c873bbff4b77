"""The supervisor's hands on the host, with the host's own parts taken away."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control import host
from natlb.control.host import Journal, Step, Tun, encode_plan, encode_wanted, operations
from natlb.control.host.operation import AddRoute
from natlb.control.roles import Role
from natlb.control.supervisor_network import NetworkHost
from natlb.errors import HostError, UnavailableError
from natlb.netlink import inside
from tests.gateway import namespaces_of
from tests.paper_host import host_plan, wanted

if TYPE_CHECKING:
    from pathlib import Path


SO_NETNS_COOKIE = 71  # Linux: asm-generic/socket.h, 5.14


class Hands:
    """In the place of control.host: writes down what is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace what touches the kernel."""
        self.done: list[str] = []
        self.fail = False
        monkeypatch.setattr(host, "resolve", lambda *_: host_plan())
        monkeypatch.setattr(host, "apply", self._apply)
        monkeypatch.setattr(host, "undo", self._undo)
        monkeypatch.setattr(host, "cleanup", self._undo)
        monkeypatch.setattr(host, "announce", self._announce)

    def _undo(self, _: Any) -> list[Any]:
        self.done.append("undo")
        return []

    def _apply(self, steps: list[Any], _: Any, steering: Any = None) -> dict[str, Any]:
        assert not steering
        self.done.append(f"apply {len(steps) > 0}")
        self.steps = steps
        names = {step.operation.device for step in steps} - {None}
        return {name: Tun(name=name, fd=len(name), offloads=0) for name in names}

    def _announce(self, _: Any) -> None:
        self.done.append("announce")
        if self.fail:
            raise HostError("the link refuses")


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """Return hands that touch nothing."""
    return Hands(monkeypatch)


def test_the_first_wish_brings_both_queues_and_the_next_none(hands: Hands, tmp_path: Path) -> None:
    """The plan that was applied goes back to control."""
    network = NetworkHost(tmp_path / "journal")
    plan, ways = network.apply(encode_wanted(wanted()))
    _, more = network.apply(encode_wanted(wanted()))

    assert plan == encode_plan(host_plan())
    assert {said.role for said, _ in ways} == {Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE}
    assert more == []
    assert hands.done == ["apply True", "announce", "apply False", "announce"]


def test_which_driver_was_chosen_is_told_once_with_the_reason(hands: Hands, tmp_path: Path) -> None:
    """At the start: it does not change while natlb runs."""
    network = NetworkHost(tmp_path / "journal")
    assert network.decided() == []
    for _ in range(2):
        network.apply(encode_wanted(wanted(driver="tun")))

    words = {"driver": "tun", "reason": "datapath.driver is tun"}
    assert network.decided() == [("driver_chosen", "info", words)]
    assert network.decided() == []
    assert hands.done


def test_an_adopted_plan_is_where_the_next_begins(hands: Hands, tmp_path: Path) -> None:
    """A dead supervisor applied it; devices that stand are not made again."""
    network = NetworkHost(tmp_path / "journal")
    network.adopt(encode_plan(host_plan()))
    _, ways = network.apply(encode_wanted(wanted()))

    assert ways == []
    assert [said.role for said, _ in network.rebuild(Role.QUEUE_PRIVATE)] == [Role.QUEUE_PRIVATE]


def test_what_a_dead_supervisor_began_beyond_the_plan_is_taken_back(
    hands: Hands, tmp_path: Path
) -> None:
    """It was killed over a reload; done again, it would be in its own way."""
    journal = Journal(tmp_path / "journal")
    for step in operations(None, host_plan()):
        journal.about_to_do(step.operation, {})
    stray = AddRoute(netns="", destination="203.0.113.99/32", dev="natlb-pub", table=254)
    journal.about_to_do(stray, {})
    NetworkHost(journal.path).adopt(encode_plan(host_plan()))

    assert hands.steps == [Step("undo", stray)]


def test_neighbours_that_cannot_be_told_learn_it_themselves(hands: Hands, tmp_path: Path) -> None:
    """It is no reason not to forward."""
    hands.fail = True
    _, ways = NetworkHost(tmp_path / "journal").apply(encode_wanted(wanted()))

    assert len(ways) == 2


def test_octets_that_want_nothing_sensible_change_nothing(hands: Hands, tmp_path: Path) -> None:
    """Control parses requests, and may have been taken over."""
    with pytest.raises(Exception, match=r"too short|layout"):
        NetworkHost(tmp_path / "journal").apply(b"\0" * 10)

    assert hands.done == []


def test_a_socket_is_made_where_the_backends_are(hands: Hands, tmp_path: Path) -> None:
    """Once it is known where that is; here, in natlb's own namespace."""
    network = NetworkHost(tmp_path / "journal")
    with pytest.raises(UnavailableError):
        network.open_socket(socket.AF_INET, socket.SOCK_STREAM)
    network.adopt(encode_plan(host_plan()))
    with socket.socket(fileno=network.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as made:
        assert not made.get_inheritable()


@pytest.mark.netns
def test_a_socket_is_of_the_private_sides_namespace(hands: Hands, tmp_path: Path) -> None:
    """The kernel's number of a socket's namespace says so; and the caller stays where it was."""
    network = NetworkHost(tmp_path / "journal")
    with namespaces_of("private") as [name]:
        plan = host_plan()
        there = replace(plan, private=replace(plan.private, netns=name))
        network.adopt(encode_plan(there))
        with (
            socket.socket(fileno=network.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as made,
            socket.socket() as here,
            inside(name),
            socket.socket() as inner,
        ):
            assert namespace_of(made) == namespace_of(inner) != namespace_of(here)


def namespace_of(made: socket.socket) -> int:
    """Return the cookie of the namespace that a socket belongs to."""
    return int.from_bytes(made.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)


def test_undoing_is_by_the_journal(hands: Hands, tmp_path: Path) -> None:
    """At the end, and for what a crash left."""
    network = NetworkHost(tmp_path / "journal")
    network.recover()
    network.undo()

    assert hands.done == ["undo", "undo"]


def test_the_supervisor_loads_nothing_heavy() -> None:
    """Its start is the start of everything."""
    code = "import sys, natlb.control.supervisor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    names = {name.split(".")[0] for name in loaded.stdout.decode().split()}

    assert not names & {"numpy", "numba", "pyroute2", "pydantic", "fastapi", "ruamel"}


def test_next_hops_are_followed_where_natlb_sends_by_itself(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a TUN there are none."""
    network = NetworkHost(tmp_path / "journal")
    assert network.watched_hops() == []
    network.doubt_hops()
    assert (network.make_hops(1), network.heard_hops(), network.why_no_hops()) == (None, False, "")
    plan = replace(host_plan(), driver="packet")
    network.adopt(encode_plan(plan))
    monkeypatch.setattr(host, "answered_by", lambda _: [(1, 2)])
    assert len(network.watched_hops()) == 1
    assert network.make_hops(1) is not None
    network.doubt_hops()
    assert network.heard_hops()
    network.undo()
