from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from natlb.errors import BusyError, HostError
from natlb.lab import demonstration, record, rights
from natlb.lab.demonstration import SIGNALS, Findings, run, signals_interrupt
from natlb.lab.loader import Outcome
from natlb.lab.process import this_process
from natlb.lab.topology import load_topology
from natlb.model import PoolCount, Service, ServiceFlows

if TYPE_CHECKING:
    from natlb.lab.record import Lab

OUTCOME = Outcome(
    service="echo",
    kind="datagrams",
    address="203.0.113.10",
    sent=10,
    answered=10,
    seconds=2.0,
    backends={"b1": 10},
    latency_ms={"p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0},
    errors={},
    sources=4,
    moved=0,
)
ECHO = Service(
    name="echo",
    listen=["udp://203.0.113.10:7"],
    policy="source-hash",
    nat="dnat",
    backends=PoolCount(total=3, up=3),
    flows=ServiceFlows(current=4, total=4),
    new_flows_per_second=2.0,
)


@pytest.fixture
def found() -> Findings:
    """Return what a demo of nothing but datagrams found."""
    return Findings(
        topology=load_topology("basic"), engine="compiled", outcomes=[OUTCOME], services=[ECHO]
    )


def test_lost_answers_are_errors(found: Findings) -> None:
    """Of each kind and phase."""
    found.outcomes.append(replace(OUTCOME, errors={"no answer": 2, "reset": 1}))

    assert found.errors == 3


def test_a_source_that_a_hash_sent_to_two_backends_is_an_error(found: Findings) -> None:
    """Of a policy that promises it, and of no other."""
    found.outcomes = [replace(OUTCOME, moved=2)]
    assert found.errors == 2

    found.services = [replace(ECHO, policy="round-robin")]
    assert found.errors == 0


def test_a_services_time_is_that_of_all_its_traffic(found: Findings) -> None:
    """New flows a second come of it."""
    found.outcomes.append(replace(OUTCOME, seconds=1.0))

    assert found.seconds() == {"echo": 3.0}


def test_the_document_is_json(found: Findings) -> None:
    """What a smoke test reads."""
    document = json.loads(json.dumps(found.document()))

    assert document["errors"] == 0
    assert document["answered"] == 10
    assert document["services"][0]["name"] == "echo"
    assert document["traffic"][0]["backends"] == {"b1": 10}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_interrupts_and_the_next_does_nothing(number: int) -> None:
    """Cleaning up is not interrupted by an impatient second ^C."""
    before = [signal.getsignal(each) for each in SIGNALS]
    cleaned = False
    with suppress(KeyboardInterrupt), signals_interrupt():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            os.kill(os.getpid(), number)
            cleaned = True

    assert cleaned
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.fixture
def stage(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the labs removed by a demo whose lab is only on paper."""
    own = record.save(lab.with_process(this_process("owner")))
    gone: list[str] = []

    def down(name: str, _: object) -> list[str]:
        gone.append(name)
        return [*own.namespaces.values()]

    monkeypatch.setattr(rights, "check_tun", lambda: None)
    monkeypatch.setattr(rights, "enter", lambda *, make: make)
    monkeypatch.setattr(demonstration, "up_lab", lambda *_, **__: own)
    monkeypatch.setattr(demonstration, "down_lab", down)
    return gone


def demo(*, json_: bool = False) -> tuple[int, str]:
    """Return the demo's exit status and what it showed."""
    out = StringIO()
    console = Console(file=out)
    code = run(topology="basic", count=1, driver="auto", json_=json_, console=console)
    return code, out.getvalue()


def test_a_demo_that_fails_removes_its_lab(
    stage: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says why it failed."""

    def fail(*_: object) -> Lab:
        raise HostError("no TUN")

    monkeypatch.setattr(demonstration, "start_balancer", fail)

    with pytest.raises(HostError, match="no TUN"):
        demo()
    assert stage == ["paper"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_demo_that_is_interrupted_removes_its_lab(
    stage: list[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """And exits as the contract says."""
    monkeypatch.setattr(demonstration, "start_balancer", lambda *_: os.kill(os.getpid(), number))

    code, text = demo()
    assert code == 130
    assert stage == ["paper"]
    assert text.startswith("natlb ")


def test_a_demo_without_errors_shows_its_findings(
    stage: list[str], lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As lines, or as one JSON document on standard output."""
    monkeypatch.setattr(demonstration, "start_balancer", lambda own, _: replace(own, socket="/x"))
    monkeypatch.setattr(demonstration, "send_traffic", lambda *_, **__: iter([OUTCOME]))

    def ask(found: Findings, _: object) -> None:
        found.services = [ECHO]

    monkeypatch.setattr(demonstration, "_ask", ask)

    code, text = demo()
    lines = text.splitlines()
    assert code == 0
    assert lines[0].split(",")[0].startswith("natlb ")
    assert any(line.startswith("UDP  203.0.113.10:7") for line in lines)
    assert "errors 0" in lines
    assert "try next:" in lines
    assert capsys.readouterr().out == ""

    code, _ = demo(json_=True)
    assert code == 0
    assert json.loads(capsys.readouterr().out)["removed"] == [*lab.namespaces.values()]


def test_a_demo_with_errors_exits_with_one(
    stage: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smoke test reads the status alone."""
    bad = replace(OUTCOME, errors={"no answer": 1})
    monkeypatch.setattr(demonstration, "start_balancer", lambda own, _: replace(own, socket="/x"))
    monkeypatch.setattr(demonstration, "send_traffic", lambda *_, **__: iter([bad]))
    monkeypatch.setattr(demonstration, "_ask", lambda *_: None)

    code, text = demo()
    assert code == 1
    assert "errors 1" in text
    assert "echo, UDP datagrams: 1 x no answer" in text


def test_two_demos_have_a_lab_each(stage: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second takes the next name."""
    tried = []

    def up(name: str, *_: object, **__: object) -> Lab:
        tried.append(name)
        if len(tried) < 3:
            raise BusyError("taken")
        raise HostError("enough")

    monkeypatch.setattr(demonstration, "up_lab", up)

    with pytest.raises(HostError, match="enough"):
        demo()
    assert tried == ["demo", "demo2", "demo3"]
