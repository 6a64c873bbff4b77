"""Whole connections through a network that loses, doubles and reorders, while things change."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from natlb.core.flow_recovery import recover
from natlb.engine import Engine
from natlb.testing import packets
from natlb.testing.network import Network, Weather
from tests.datapath import (
    B1,
    B2,
    B3,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    config,
)

SERVICES: dict[str, Any] = {
    "web": {
        "listen": f"tcp://{VIP}:80",
        "backends": [f"{B1}:8080", f"{B2}:8080", f"{B3}:8080"],
    },
    "web6": {
        "listen": f"tcp://[{VIP6}]:80",
        "backends": ["[fd00:9::11]:8080", "[fd00:9::12]:8080"],
    },
}
STORM = Weather(lost=0.1, doubled=0.1, slowest=0.15)
TIMEOUTS = {"tcp_transitory": 20, "tcp_opening": 30, "tcp_established": 60}


def answered(server: str, request: bytes) -> bytes:
    """Return a backend's answer: who it is, and what it was asked, many times over."""
    return f"{server} ".encode() + request * 5


def network(seed: int, weather: Weather, **options: Any) -> Network:
    """Return a network around an engine for both services."""
    engine = Engine(config(SERVICES, timeouts=TIMEOUTS, **options), seed)
    return Network(engine, random.Random(seed), weather, answered)


def called(net: Network, count: int, start: int = 0) -> dict[str, bytes]:
    """Have so many clients call, one in four over IPv6; return what each asked."""
    asked = {}
    for number in range(start, start + count):
        host = number % 200 + 1
        six = number % 4 == 3
        client = f"[2001:db8:c::{host:x}]" if six else f"198.51.100.{host}"
        source, vip = f"{client}:{20000 + number}", f"[{VIP6}]:80" if six else f"{VIP}:80"
        asked[source] = net.chance.randbytes(net.chance.randrange(1, 900))
        net.connect(source, vip, asked[source])
    return asked


def served_by(net: Network, asked: dict[str, bytes]) -> Counter[str]:
    """Return who served how many; each must have been served whole, by one backend."""
    by: Counter[str] = Counter()
    for client, request in asked.items():
        end = net.clients[client]
        assert end.is_done, client
        assert not end.was_reset
        server, _, rest = bytes(end.received).partition(b" ")
        assert rest == request * 5
        by[server.decode()] += 1
    return by


def assert_sound(net: Network) -> None:
    """Hold what must be true at any time."""
    path = net.engine
    assert_counts_agree(path.stats())
    assert not broken_laws(path._flows, path._counters)
    public = {packets.split_endpoint(each)[0].compressed for each in net.seen_publicly}
    assert not [each for each in public if each.startswith(("10.", "fd00:"))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weather", [Weather(), STORM], ids=["fair", "storm"])
def test_every_connection_is_served_whole_by_one_backend(seed: int, weather: Weather) -> None:
    """All octets both ways, half-closed on the way; then nothing is left (I1 to I6, T1)."""
    net = network(seed, weather)
    asked = called(net, 40)
    net.run(until=25.0)

    by = served_by(net, asked)
    counts = [by[f"{backend}:8080"] for backend in (B1, B2, B3)]
    assert max(counts) - min(counts) <= 1
    assert by["[fd00:9::11]:8080"] == by["[fd00:9::12]:8080"] == 5
    assert_sound(net)
    assert net.engine.stats().flows.opened == 40
    net.run(until=50.0)
    assert not net.engine.flows()
    assert not net.engine._flows.buckets.any()


def test_connections_outlive_everything_that_changes_around_them() -> None:
    """A drain, a weight, a reload, a worker's death: none breaks an established connection.

    What a removed backend had not yet answered, or the client not heard, is begun anew elsewhere.
    """
    net = network(7, STORM)
    first = called(net, 30)
    net.run(until=0.3)
    net.engine.set_backend(f"web/{B1}:8080", state="draining")
    second = called(net, 30, start=100)
    net.run(until=0.6)
    rest = {**SERVICES, "web": {**SERVICES["web"], "backends": [f"{B2}:8080"]}}
    net.engine.load(config(rest, timeouts=TIMEOUTS))
    recover(net.engine._flows, net.engine._counters)
    third = called(net, 30, start=200)
    net.run(until=25.0)

    served_by(net, first)
    assert f"{B1}:8080" not in served_by(net, second)
    assert set(served_by(net, third)) == {f"{B2}:8080", "[fd00:9::11]:8080", "[fd00:9::12]:8080"}
    assert_sound(net)
    flows = net.engine.stats().flows
    assert flows.opened == 90 + flows.closed
    assert 0 < flows.closed < 10


def test_maintenance_resets_both_ends_of_what_a_backend_had() -> None:
    """At once, and nobody else's."""
    net = network(3, Weather(slowest=0.01))
    called(net, 30)
    net.run(until=0.02)
    mine = {flow.client for flow in net.engine.flows() if flow.server == f"{B1}:8080"}
    net.deliver_resets(net.engine.set_backend(f"web/{B1}:8080", state="maint"))
    net.run(until=25.0)

    assert mine
    assert {client for client, end in net.clients.items() if end.was_reset} == mine
    served_by(net, {c: e._to_say for c, e in net.clients.items() if c not in mine})
    assert_sound(net)


def test_a_table_that_is_full_serves_whom_it_has_room_for() -> None:
    """The others repeat their SYN, and get their turn when rows are free again.

    Whose handshake made room for another's is told with a reset, and none waits for ever.
    """
    net = network(5, Weather(), max_flows=8)
    asked = called(net, 24)
    net.run(until=200.0)
    told = {client for client in asked if net.clients[client].was_reset}
    stats = net.engine.stats()

    served_by(net, {client: asked[client] for client in asked if client not in told})
    assert 0 < len(told) == stats.replies["out-of-state"] <= stats.flows.evicted
    assert stats.replies["table-full"] > 0
    assert stats.flows.peak == 8
    assert_sound(net)


# Flows, packets and octets each way of a seeded run: whatever changes these changed behaviour
SNAPSHOT = {
    f"{B1}:8080": (7, 223, 222, 19022, 58505),
    f"{B2}:8080": (6, 161, 173, 12497, 40485),
    f"{B3}:8080": (6, 147, 135, 10735, 24080),
    "[fd00:9::11]:8080": (3, 67, 61, 5710, 11879),
    "[fd00:9::12]:8080": (3, 103, 100, 11776, 30941),
}


def test_a_run_is_exact() -> None:
    """The same seed gives the same numbers, on any machine, compiled or not."""
    net = network(11, STORM)
    called(net, 25)
    net.run(until=12.0)
    table = {
        backend.name: (
            backend.flows.total,
            backend.packets.original,
            backend.packets.reply,
            backend.bytes.original,
            backend.bytes.reply,
        )
        for backend in net.engine.backends()
    }

    assert table == SNAPSHOT
    assert net.engine.stats().packets.forwarded == net.engine.stats().packets.received == 1392
