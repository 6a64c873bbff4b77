from __future__ import annotations

from typing import Any

import pytest

from natlb.engine import DropReason, Engine, PacketMeta, Verdict
from natlb.errors import ConfigError
from natlb.testing import packets
from tests.datapath import (
    B1,
    B2,
    B3,
    CLIENT,
    SERVICES,
    VIP,
    assert_counts_agree,
    backend_of,
    broken_laws,
    config,
    engine,
    established,
    one_service,
    picked,
)

FROM, WEB, DNS = f"{CLIENT}:40000", f"{VIP}:80", f"{VIP}:53"


def test_a_reload_keeps_flows_and_counts() -> None:
    """Added, removed and moved services and backends leave what is there where it is."""
    path = engine()
    servers = {
        f"{CLIENT}:{port}": established(path, f"{CLIENT}:{port}") for port in range(9000, 9010)
    }
    before = path.stats()
    path.load(
        config(
            {
                "new": {"listen": f"tcp://{VIP}:8443", "backends": [f"{B3}:1"]},
                **SERVICES,
                "web": {
                    **SERVICES["web"],
                    "backends": [f"{B3}:8080", *SERVICES["web"]["backends"]],
                },
            }
        )
    )

    assert path.stats().flows == before.flows
    assert path.stats().generation == before.generation + 1
    assert path.services()[0].name == "new"
    for client, server in servers.items():
        assert backend_of(path, client) == server
        assert path.process(packets.tcp(server, client, "A"), 0.0).verdict is Verdict.FORWARD
    assert f"{B3}:8080" in picked(path)
    assert not broken_laws(path._flows, path._counters)


def test_flows_of_a_backend_that_was_removed_go_on() -> None:
    """It drains (`on_remove`): its answers come from the private side as before."""
    path = engine()
    server = established(path, FROM)
    others = [name for name in SERVICES["web"]["backends"] if name != server]
    path.load(config({"web": {**SERVICES["web"], "backends": others}}))

    assert backend_of(path, FROM) == server
    answer = path.process(packets.tcp(server, FROM, "PA", payload=b"x"), 0.0)
    assert answer.verdict is Verdict.FORWARD
    assert packets.read(answer.packets[0]).source == WEB
    assert server not in picked(path)
    assert [flow.backend for flow in path.flows() if flow.client == FROM] == [server]
    forged = path.process(packets.tcp(server, FROM, "A"), 0.0, PacketMeta(side="public"))
    assert forged.reason is DropReason.MARTIAN


def test_flows_of_a_service_that_was_removed_go_on() -> None:
    """By the global timers; but nothing new is let in, and nothing strays."""
    path = engine()
    server = established(path, FROM)
    rest = {name: service for name, service in SERVICES.items() if name in ("web6", "dns6")}
    path.load(config(rest, timeouts={"tcp_established": 50}))

    assert backend_of(path, FROM) == server
    assert path.process(packets.tcp(server, FROM, "A"), 0.0).verdict is Verdict.FORWARD
    flow = path.flows()[0]
    assert (flow.service, flow.backend, flow.expires_seconds) == ("web", server, 50)
    stray = path.process(packets.tcp(f"{CLIENT}:1", WEB), 0.0)
    assert (stray.verdict, stray.reason) == (Verdict.REPLY, DropReason.NO_SERVICE)
    path.tick(50.0)
    path.load(config(rest, timeouts={"tcp_established": 50}))
    assert path.process(packets.tcp(f"{CLIENT}:1", WEB), 50.0).verdict is Verdict.PASS


def test_a_backend_that_moves_keeps_what_is_established_alone() -> None:
    """Its name and number stay: an unanswered SYN follows it to the new address (trap 9)."""
    path = engine(one_service(backends=[{"name": "b", "address": f"{B1}:8080"}]))
    established(path, FROM)
    waiting = f"{CLIENT}:40001"
    path.process(packets.tcp(waiting, WEB), 0.0)
    path.load(config(one_service(backends=[{"name": "b", "address": f"{B2}:8080"}])))
    path.process(packets.tcp(waiting, WEB), 0.0)

    assert backend_of(path, FROM) == f"{B1}:8080"
    assert {flow.client: flow.server for flow in path.flows()} == {
        FROM: f"{B1}:8080",
        waiting: f"{B2}:8080",
    }
    assert_counts_agree(path.stats())


def test_a_number_is_not_used_again_while_a_flow_holds_it() -> None:
    """Else a flow would be shown, and reset, with another backend's."""
    path = engine(one_service(backends=[f"{B1}:8080"]))
    established(path, FROM)
    held = dict(path._indices.backends)
    path.load(config(one_service(backends=[f"{B2}:8080"])))
    assert path._indices.backends["web", f"{B1}:8080"] == held["web", f"{B1}:8080"]
    assert path._indices.backends["web", f"{B2}:8080"] not in held.values()
    path.command("flush", 0.0)
    path.load(config(one_service(backends=[f"{B3}:8080"])))

    assert path._indices.backends == {("web", f"{B3}:8080"): held["web", f"{B1}:8080"]}


def test_a_new_owner_of_a_number_begins_at_zero() -> None:
    """A counter starts at 0 with what it counts."""
    path = engine(one_service(backends=[f"{B1}:8080"]))
    established(path, FROM)
    path.command("flush", 0.0)
    path.load(config({"other": {"listen": f"tcp://{VIP}:80", "backends": [f"{B2}:8080"]}}))
    backend, service = path.backends()[0], path.services()[0]

    assert path._indices.services == {"other": 0}
    assert (backend.flows.total, service.flows.total) == (0, 0)
    assert (backend.packets.original, backend.bytes.reply) == (0, 0)
    assert not path._counters.policy.any()
    assert path.stats().flows.opened == 1


def test_what_was_set_at_run_time_survives_a_reload_by_name() -> None:
    """And is forgotten with the name: who comes back is a new one."""
    path = engine()
    name = f"web/{B1}:8080"
    path.set_backend(name, state="draining", weight=9)
    path.load(config())
    assert (path.backends()[0].state, path.backends()[0].weight) == ("draining", 9)
    path.load(config({"dns": SERVICES["dns"]}))
    path.load(config())

    assert (path.backends()[0].state, path.backends()[0].weight) == ("ready", 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"services": {}},
        {**config(), "nonsense": 1},
        config({"web": {"listen": "tcp://nowhere:80", "backends": [B1]}}),
        config(max_flows=77),
    ],
)
def test_a_bad_configuration_changes_nothing(bad: dict[str, Any]) -> None:
    """All or nothing; a changed `datapath` is bad for a running engine."""
    path = engine()
    server = established(path, FROM)
    before = path.flows(), path.backends(), path.services(), path.stats()

    with pytest.raises(ConfigError):
        path.load(bad)
    assert (path.flows(), path.backends(), path.services(), path.stats()) == before
    assert backend_of(path, FROM) == server


def test_counters_agree_after_all_of_this() -> None:
    """Over one life with everything in it."""
    path = engine(timeouts={"udp": 10, "udp_unreplied": 5})
    for number in range(60):
        source = f"198.51.100.{number}:4000"
        established(path, source, now=float(number))
        path.process(packets.udp(source, DNS), number)
        path.process(packets.udp(source, f"{VIP}:9"), number)
        if number % 10 == 3:
            path.command("flush state=unreplied", number)
        if number % 10 == 5:
            path.set_backend(f"web/{B1}:8080", state="maint" if number % 20 == 5 else "ready")
        if number % 10 == 7:
            path.load(config(timeouts={"udp": 10, "udp_unreplied": 5}))
        path.tick(number)
        assert_counts_agree(path.stats())
        assert not broken_laws(path._flows, path._counters)
    path.tick(100_000.0)

    assert not path.flows()
    assert not path._flows.buckets.any()


def test_engines_of_one_seed_send_clients_to_the_same_backends() -> None:
    """The configuration's goes before their own; a reload changes it, and takes it away."""
    shared = config({"web": {**SERVICES["web"], "policy": "source-hash"}}, seed="feed")
    alone = config({"web": {**SERVICES["web"], "policy": "source-hash"}})
    one, other = Engine(shared, seed=1), Engine(shared, seed=2)
    assert choices(one, 1) == choices(other, 1)

    other.load(alone)
    assert choices(one, 2) != choices(other, 2)
    assert choices(other, 3) == choices(Engine(alone, seed=2), 3)
    other.load(shared)
    assert choices(one, 4) == choices(other, 4)


def choices(path: Engine, port: int) -> list[str]:
    """Return which backends 32 clients are given, in new flows from this port."""
    return [backend_of(path, f"198.51.100.{host}:{port}") for host in range(1, 33)]
