from __future__ import annotations

from dataclasses import replace

import pytest

from natlb.errors import BusyError, UnknownNameError, UsageError
from natlb.lab import lifecycle, record
from natlb.lab.lifecycle import (
    down_lab,
    list_labs,
    remove_abandoned,
    run_in_lab,
    status_of,
    up_lab,
)
from natlb.lab.process import Process, this_process
from natlb.lab.record import Lab

MADE = Lab(
    name="made", topology="basic", state="up", client="c", balancer="lb", namespaces={"c": "x-c"}
)


def silent(_: str) -> None:
    """Hear nothing."""


@pytest.fixture
def there(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the namespaces that the host pretends to have: the lab's."""
    names = [*lab.namespaces.values()]
    monkeypatch.setattr(lifecycle, "namespaces", lambda: names)
    return names


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the labs removed, of which there is only paper."""
    gone: list[str] = []

    def remove(lab: Lab, _: object) -> list[str]:
        record.forget(lab)
        gone.append(lab.name)
        return []

    monkeypatch.setattr(lifecycle, "_remove", remove)
    monkeypatch.setattr(lifecycle, "_make", lambda *_, **__: MADE)
    monkeypatch.setattr(lifecycle, "start_backends", lambda lab, _: lab)
    return gone


def up(owner: Process | None = None, topology: str = "basic") -> Lab:
    """Bring the lab called paper up."""
    return up_lab("paper", topology, silent, balancer=False, owner=owner)


def test_a_lab_that_is_up_is_left_alone(lab: Lab, there: list[str], removed: list[str]) -> None:
    """`up` may be called twice."""
    assert up() == lab
    assert not removed


def test_a_lab_that_is_up_with_another_topology_is_not_torn_down(
    lab: Lab, there: list[str], removed: list[str]
) -> None:
    """Somebody may be playing in it."""
    with pytest.raises(BusyError, match="is up with topology basic") as refused:
        up(topology="routed")
    assert refused.value.fix == "natlb lab down paper"
    assert not removed


@pytest.mark.parametrize("flaw", ["state", "namespace", "owner"])
def test_what_was_left_half_made_is_removed_and_made_anew(
    lab: Lab, there: list[str], removed: list[str], flaw: str
) -> None:
    """Killed while it was made, namespaces deleted by hand, or a demo that died."""
    if flaw == "state":
        record.save(replace(lab, state="making"))
    elif flaw == "namespace":
        there.pop()
    else:
        record.save(lab.with_process(replace(this_process("owner"), started=1)))

    assert up() is MADE
    assert removed == ["paper"]


def test_a_running_demos_lab_is_its_own(lab: Lab, there: list[str], removed: list[str]) -> None:
    """It would be removed at the end of the demo, under the user's feet."""
    record.save(lab.with_process(this_process("owner")))

    with pytest.raises(BusyError, match="is of the demo that is pid"):
        up()
    assert up(owner=this_process("owner")).owner is not None
    assert not removed


def test_a_demo_does_not_take_somebodys_lab(lab: Lab, there: list[str], removed: list[str]) -> None:
    """Nor remove it."""
    with pytest.raises(BusyError, match="is there already"):
        up(owner=this_process("owner"))
    assert not removed


def test_a_lab_with_another_driver_is_not_taken_for_the_one_that_was_asked_for(
    lab: Lab, there: list[str], removed: list[str]
) -> None:
    """Who asks for none in particular takes what there is."""
    record.save(replace(lab, driver="tun"))
    with pytest.raises(BusyError, match="lab 'paper' is up with driver tun"):
        up_lab("paper", lab.topology, silent, balancer=False, driver="packet")
    assert up_lab("paper", lab.topology, silent, balancer=False).driver == "tun"
    assert not removed


def test_only_what_a_dead_demo_left_is_removed(
    lab: Lab, there: list[str], removed: list[str]
) -> None:
    """Neither a living demo's lab, nor one that is no demo's."""
    owner = this_process("owner")
    for kept in (lab, lab.with_process(owner)):
        record.save(kept)
        remove_abandoned(silent)
    assert not removed
    record.save(lab.with_process(replace(owner, started=1)))
    remove_abandoned(silent)

    assert removed == ["paper"]


def test_an_unknown_topology_leaves_no_trace(labs: object) -> None:
    """It is loaded before anything is made."""
    with pytest.raises(UnknownNameError):
        up_lab("new", "star", silent)
    assert record.names() == []


def test_what_is_not_there_cannot_go_down(lab: Lab) -> None:
    """Exit code 64, not 0: a misspelt name is told."""
    with pytest.raises(UnknownNameError, match="no lab 'pepper'; there are: paper"):
        down_lab("pepper", silent)
    assert record.names() == ["paper"]


def test_a_lab_is_broken_when_something_of_it_is_gone(lab: Lab, there: list[str]) -> None:
    """A backend, natlb, a namespace; `up` mends it."""
    alive, dead = this_process("backend"), replace(this_process("backend"), started=1)
    natlb = replace(this_process("natlb"), host="lb")

    assert status_of(lab).state == "up"
    assert status_of(lab.with_process(alive)).backends == 1
    assert status_of(lab.with_process(dead)).state == "broken"
    with_socket = replace(lab, socket="/x")
    assert status_of(with_socket).state == "broken"
    assert status_of(with_socket.with_process(natlb)).state == "up"
    assert status_of(with_socket.with_process(natlb)).natlb == natlb.pid
    there.pop()
    assert status_of(lab).state == "broken"
    assert status_of(replace(lab, state="making")).state == "making"


def test_labs_are_listed_by_name(lab: Lab, there: list[str]) -> None:
    """All of them, in one line each."""
    assert [each.name for each in list_labs()] == ["paper"]


def test_a_command_that_is_not_there_is_a_usage_error(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a traceback."""

    def missing(_: str, __: list[str]) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(lifecycle, "start_attached", missing)

    with pytest.raises(UsageError, match="cannot run 'nope': No such file or directory"):
        run_in_lab("paper", "b1", ["nope"])
