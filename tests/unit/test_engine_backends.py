from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from natlb.control.config.values import SlowStart
from natlb.engine import Verdict
from natlb.errors import UnknownNameError, UsageError
from natlb.testing import packets
from tests.datapath import (
    B1,
    B2,
    B3,
    CLIENT,
    backend_of,
    config,
    engine,
    established,
    one_service,
    picked,
)

FROM = f"{CLIENT}:40000"
THREE = [f"{B1}:8080", f"{B2}:8080", f"{B3}:8080"]


@pytest.mark.parametrize(
    ("change", "takes_new"),
    [
        ({"state": "draining"}, False),
        ({"state": "maint"}, False),
        ({"weight": 0}, False),
        ({"health": "down"}, False),
        ({"health": "up"}, True),
        ({"weight": 5}, True),
        ({"state": "ready"}, True),
    ],
)
@pytest.mark.parametrize("policy", ["round-robin", "source-hash"])
def test_new_flows_go_to_who_takes_them(
    policy: str, change: dict[str, Any], takes_new: bool
) -> None:
    """Draining, in maintenance, of no weight or down: not even by affinity (facts: drained)."""
    path = engine(one_service(policy=policy, backends=THREE))
    path.set_backend(f"web/{B2}:8080", **change)

    assert (f"{B2}:8080" in picked(path, 40)) is takes_new
    backend = path.backends()[1]
    expected = change.get("weight", 1) if takes_new else 0
    assert backend.effective_weight == expected
    assert path.services()[0].backends.up == (3 if takes_new else 2)


def test_a_draining_backend_keeps_its_flows() -> None:
    """Both ways, and also those that are not established yet."""
    path = engine()
    server = backend_of(path, FROM)
    path.set_backend(f"web/{server}", state="draining")

    assert backend_of(path, FROM) == server
    answer = path.process(packets.tcp(server, FROM, "SA"), 0.0)
    assert answer.verdict is Verdict.FORWARD
    assert path.backends()[0].state == "draining"


def test_maintenance_resets_what_the_backend_has_and_nobody_elses() -> None:
    """TCP is told at both ends; UDP ends in silence."""
    path = engine()
    servers = {
        f"{CLIENT}:{port}": established(path, f"{CLIENT}:{port}") for port in range(9000, 9004)
    }
    mine = [client for client, server in servers.items() if server == f"{B1}:8080"]
    sent = [packets.read(packet) for packet in path.set_backend(f"web/{B1}:8080", state="maint")]

    assert len(mine) == 2
    assert sorted(each.destination for each in sent) == sorted([*mine, f"{B1}:8080", f"{B1}:8080"])
    assert {flow.client for flow in path.flows()} == set(servers) - set(mine)


def test_what_was_set_stays_until_it_is_set_otherwise() -> None:
    """State, weight and health are three things."""
    path = engine()
    name = f"web/{B1}:8080"
    path.set_backend(name, weight=7)
    path.set_backend(name, state="draining")
    path.set_backend(name, health="up")
    backend = path.backends()[0]
    assert (backend.weight, backend.state, backend.health) == (7, "draining", "up")
    assert backend.effective_weight == 0
    path.set_backend(name, state="ready")

    assert path.backends()[0].effective_weight == 7


def test_slow_start_counts_from_when_a_backend_came_back() -> None:
    """By the engine's own time; a change of weight meanwhile does not begin it anew."""
    path = engine(one_service(backends=THREE))
    web = replace(path._config.services["web"], slow_start=SlowStart(seconds=10))
    path._config = replace(path._config, services={"web": web})
    name, shown = f"web/{B1}:8080", []
    path.command(f"drain {name}", 5.0)
    path.command(f"ready {name}", 20.0)
    for now in (20.0, 24.0, 29.0, 30.0):
        path.tick(now)
        shown.append(path.backends()[0].effective_weight)
        if now == 24.0:
            path.set_backend(name, weight=4)
    path.load(config(one_service(backends=THREE)))

    assert shown == [0.1, 0.4, 3.6, 4]
    assert path.backends()[0].weight == 4
    assert not path._core.tables.backends["slow_start_ms"].any()


def test_a_weight_of_the_files_own_is_no_change() -> None:
    """A reload with another weight is followed then."""
    path = engine(one_service(backends=THREE))
    path.set_backend(f"web/{B1}:8080", weight=1)

    assert path._run_time == {}


@pytest.mark.parametrize(
    "change",
    [
        {"weight": -1},
        {"weight": 1.5},
        {"weight": True},
        {"weight": 65536},
        {"state": "gone"},
        {"state": ""},
        {"health": "ill"},
    ],
)
def test_what_no_policy_could_work_with_is_refused(change: dict[str, Any]) -> None:
    """And nothing changes."""
    path = engine()
    before = path.backends(), path.stats()

    with pytest.raises(UsageError):
        path.set_backend(f"web/{B1}:8080", **change)
    assert (path.backends(), path.stats()) == before


@pytest.mark.parametrize("name", ["web/b9", "nosuch/b1", "web", "", "/", f"web/{B1}:8081"])
def test_an_unknown_backend_is_named_beside_those_there_are(name: str) -> None:
    """So that the next try is right."""
    with pytest.raises(UnknownNameError, match=f"web/{B1}:8080"):
        engine().set_backend(name, weight=1)


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        (f"drain web/{B1}:8080", "state", "draining"),
        (f"maint web/{B1}:8080", "state", "maint"),
        (f"ready web/{B1}:8080", "state", "ready"),
        (f"weight web/{B1}:8080 3", "weight", 3),
        (f"  weight   'web/{B1}:8080'  0 ", "weight", 0),
    ],
)
def test_commands_are_those_of_the_command_line(command: str, field: str, value: object) -> None:
    """Word for word."""
    path = engine()
    path.command(command, 0.0)

    assert getattr(path.backends()[0], field) == value


@pytest.mark.parametrize(
    "command",
    [
        *("", "explode", "drain", "drain a b", "weight web/x", "'drain", "flush\0"),
        f"weight web/{B1}:8080 -1",
        f"weight web/{B1}:8080 x",
        f"weight web/{B1}:8080 65536",
        *("flush colour=red", "flush web", "flush state=gone", "flush protocol=sctp"),
        *("flush client=nobody", "flush client=198.51.100.0/33", "flush --rest"),
    ],
)
def test_a_command_that_is_none_is_a_usage_error(command: str) -> None:
    """And does nothing."""
    path = engine()
    backend_of(path, FROM)

    with pytest.raises(UsageError):
        path.command(command, 0.0)
    assert len(path.flows()) == 1


@pytest.mark.parametrize("words", ["service=nosuch", "backend=nosuch", "service=dns backend=x"])
def test_a_flush_of_an_unknown_name_is_an_error(words: str) -> None:
    """Rather than a flush of nothing that looks like success."""
    with pytest.raises(UnknownNameError):
        engine().command(f"flush {words}", 0.0)
