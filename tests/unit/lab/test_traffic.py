from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from natlb.errors import HostError
from natlb.lab import process, traffic
from natlb.lab.topology import load_topology
from natlb.lab.traffic import plan_traffic, send_traffic

if TYPE_CHECKING:
    from natlb.lab.record import Lab


def test_each_service_gets_each_kind_of_its_traffic() -> None:
    """New and kept connections over TCP, datagrams over UDP, over IPv4 and IPv6."""
    phases = plan_traffic(load_topology("basic"), 10)

    assert [(phase.service, phase.kind, phase.count) for phase in phases] == [
        ("web", "connections", 10),
        ("web", "requests", 10),
        ("web6", "connections", 10),
        ("web6", "requests", 10),
        ("echo", "datagrams", 10),
        ("echo6", "datagrams", 10),
    ]


def test_traffic_comes_from_addresses_of_the_services_ip_version() -> None:
    """All of the client's."""
    phases = plan_traffic(load_topology("basic"), 10)

    for phase in phases:
        assert len(phase.sources) == 32
        assert all((":" in source) == (":" in phase.address) for source in phase.sources)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the client run here, in no namespace."""
    monkeypatch.setattr(
        traffic, "start", lambda _, *rest, **more: process.start(None, *rest, **more)
    )


def test_what_the_client_saw_is_given_phase_by_phase(lab: Lab, here: None) -> None:
    """Nobody listens here, and that is what it saw."""
    plan = plan_traffic(load_topology("basic"), 3)[0]
    phase = replace(plan, address="127.0.0.1", port=9, sources=[])
    outcomes = list(send_traffic(lab, [phase, phase], deadline=20, progress=lambda *_: None))

    assert [outcome.errors for outcome in outcomes] == [{"connection refused": 3}] * 2


def test_progress_is_told_while_a_phase_runs(
    lab: Lab, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what a terminal draws from."""
    told: list[tuple[str, str, int]] = []
    line = '{"progress": {"kind": "requests", "service": "web", "done": 7}}'
    monkeypatch.setattr(
        traffic, "start", lambda *_, **more: process.start(None, ["echo", line], **more)
    )

    assert list(send_traffic(lab, [], deadline=1, progress=lambda *seen: told.append(seen))) == []
    assert told == [("requests", "web", 7)]


def test_a_client_that_dies_is_told_with_its_last_word(lab: Lab, here: None) -> None:
    """Half of the phases are no result."""
    plan = plan_traffic(load_topology("basic"), 3)[0]
    phase = replace(plan, address="nowhere", port=9, sources=[], kind="sorcery")  # type: ignore[arg-type]

    with pytest.raises(HostError, match=r"the client ended early: "):
        list(send_traffic(lab, [replace(phase, count="x")], deadline=20, progress=lambda *_: None))  # type: ignore[arg-type]
