from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any, get_args

import numpy as np
import pytest

from natlb.control.compile import RunTime, Snapshot
from natlb.control.compile.addresses import lanes_of
from natlb.control.compile.views import GONE, STATES, _live_rows, client_prefix, state_set
from natlb.control.config.values import SlowStart
from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    DETACHED,
    ENDING,
    ESTABLISHED,
    HALF_ORIGINAL,
    HALF_REPLY,
    MAKING,
    OPENING,
    REPLIED,
    STATE_LABELS,
    UNREPLIED,
)
from natlb.engine import Engine
from natlb.errors import UsageError
from natlb.model import FlowFilter, FlowStateName, WorkerStatistics, to_json
from natlb.testing import packets
from tests.datapath import (
    B1,
    B2,
    B3,
    CLIENT,
    VIP,
    VIP6,
    engine,
    established,
    one_service,
)

WEB = f"{VIP}:80"

# Field names in their order, as the contract writes them
FLOW = (
    "service backend protocol client vip server source state worker age_seconds idle_seconds "
    "expires_seconds packets bytes"
)
BACKEND = (
    "service name address weight effective_weight backup state health flows packets bytes check"
)
SERVICE = "name listen policy nat backends flows new_flows_per_second"
STATS = "generation uptime_seconds workers packets bytes flows drops replies"


def lively() -> Any:
    """Return an engine with a little of everything."""
    path = engine()
    server = established(path, f"{CLIENT}:40000")
    path.process(packets.tcp(server, f"{CLIENT}:40000", "PA", payload=b"x" * 100), 1.0)
    path.process(packets.udp(f"{CLIENT}:5000", f"{VIP}:53", b"?"), 1.0)
    path.process(packets.tcp("[2001:db8::2]:40000", f"[{VIP6}]:80"), 1.5)
    path.process(packets.udp(f"{CLIENT}:5000", f"{VIP}:9", b"?"), 1.5)
    path.process(packets.echo_request(CLIENT, VIP), 1.5)
    path.process(b"", 1.5)
    path.tick(2.0)
    return path


def test_documents_have_the_contracts_names_in_its_order() -> None:
    """API, command line, logs and metrics all show these."""
    path = lively()
    flow, backend, service = (
        to_json(values)[0] for values in (path.flows(), path.backends(), path.services())
    )
    stats = to_json(path.stats())

    assert list(flow) == FLOW.split()
    assert list(backend) == BACKEND.split()
    assert list(service) == SERVICE.split()
    assert list(stats) == STATS.split()
    assert list(backend["flows"]) == ["current", "opening", "total"]
    assert list(stats["packets"]) == [
        *("received", "forwarded", "passed", "replied", "dropped", "held", "sent"),
    ]
    assert list(stats["flows"]) == ["current", "peak", "opened", "closed", "expired", "evicted"]
    for pair in (flow["packets"], flow["bytes"], backend["packets"], backend["bytes"]):
        assert list(pair) == ["original", "reply"]


def test_a_flow_is_told_as_it_is() -> None:
    """IPv6 in brackets, times in seconds, octets from the IP header on."""
    first, second, third = to_json(lively().flows())

    assert first == {
        "service": "web",
        "backend": f"{B1}:8080",
        "protocol": "tcp",
        "client": f"{CLIENT}:40000",
        "vip": WEB,
        "server": f"{B1}:8080",
        "source": None,
        "state": "established",
        "worker": 0,
        "age_seconds": pytest.approx(2.0, abs=0.032),
        "idle_seconds": 1.0,
        "expires_seconds": 7439.0,
        "packets": {"original": 2, "reply": 2},
        "bytes": {"original": 80, "reply": 180},
    }
    assert (second["protocol"], second["state"]) == ("udp", "unreplied")
    assert third["client"] == "[2001:db8::2]:40000"
    assert third["vip"] == f"[{VIP6}]:80"
    assert third["server"].startswith("[fd00:9::1")


@pytest.mark.parametrize(
    ("state", "label", "expires"),
    [
        (DETACHED, "replied", 5.0),
        (OPENING, "opening", 240.0),
        (ANSWERED, "opening", 240.0),
        (ESTABLISHED, "established", 7440.0),
        (HALF_ORIGINAL, "established", 7440.0),
        (HALF_REPLY, "established", 7440.0),
        (CLOSING, "closing", 240.0),
        (UNREPLIED, "unreplied", 120.0),
        (REPLIED, "replied", 300.0),
    ],
)
def test_every_state_has_a_label_and_a_time_left(state: int, label: Any, expires: float) -> None:
    """One that had none would stop the list; a filter by the label finds it."""
    path = lively()
    path._flows.rows["state"][1] = state
    whole = snapshot(path)
    flow = whole.list_flows(FlowFilter(), 1)[0]

    assert (flow.state, flow.idle_seconds, flow.expires_seconds) == (label, 1.0, expires - 1)
    assert flow in whole.list_flows(FlowFilter(state=label), None)
    for other in STATES - {label}:
        assert flow not in whole.list_flows(FlowFilter(state=other), None)


def test_a_label_is_a_set_of_states() -> None:
    """No state is of two labels, and none is of none."""
    assert sum(state_set(label) for label in STATES) == sum(1 << state for state in STATE_LABELS)
    assert frozenset(get_args(FlowStateName)) == STATES


@pytest.mark.parametrize(
    ("source", "port", "shown"),
    [
        ("10.77.0.100", 5000, "10.77.0.100:5000"),
        ("fd77::100", 40000, "[fd77::100]:40000"),
        (CLIENT, 5000, f"{CLIENT}:5000"),
        (CLIENT, 40000, None),
    ],
)
def test_the_source_is_natlbs_own_endpoint(source: str, port: int, shown: str | None) -> None:
    """What a backend sees in place of the client, whichever IP version it speaks."""
    path = lively()
    reply = path._flows.rows[1]["reply"]
    for lane, word in enumerate(lanes_of(ip_address(source))):
        reply[f"destination{lane}"] = word
    reply["destination_port"] = port
    flow = path.flows()[0]

    assert (flow.client, flow.source) == (f"{CLIENT}:40000", shown)


def test_backends_and_services_are_told_as_they_are() -> None:
    """In the order of the file."""
    path = lively()
    backend, service = to_json(path.backends())[0], to_json(path.services())[0]

    assert backend == {
        "service": "web",
        "name": f"{B1}:8080",
        "address": f"{B1}:8080",
        "weight": 1,
        "effective_weight": 1,
        "backup": False,
        "state": "ready",
        "health": "unknown",
        "flows": {"current": 1, "opening": 0, "total": 1},
        "packets": {"original": 2, "reply": 2},
        "bytes": {"original": 80, "reply": 180},
        "check": None,
    }
    assert service == {
        "name": "web",
        "listen": [f"tcp://{WEB}"],
        "policy": "round-robin",
        "nat": "dnat",
        "backends": {"total": 2, "up": 2},
        "flows": {"current": 1, "total": 1},
        "new_flows_per_second": 0.0,
    }


def test_statistics_name_only_reasons_that_were_seen() -> None:
    """And count everything else."""
    stats = to_json(lively().stats())

    assert stats["generation"] == 1
    assert stats["uptime_seconds"] == 2.0
    assert stats["drops"] == {"malformed": 1}
    assert stats["replies"] == {"echo": 1, "no-service": 1}
    assert stats["packets"] == {
        "received": 9,
        "forwarded": 6,
        "passed": 0,
        "replied": 2,
        "dropped": 1,
        "held": 0,
        "sent": 8,
    }
    assert stats["flows"]["opened"] == stats["flows"]["current"] == stats["flows"]["peak"] == 3


def snapshot(path: Any, **changes: Any) -> Snapshot:
    """Return an engine's snapshot, changed."""
    whole = path._snapshot()
    fields = {name: getattr(whole, name) for name in Snapshot.__dataclass_fields__}
    return Snapshot(**(fields | changes))


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (FlowFilter(), 3),
        (FlowFilter(service="web"), 1),
        (FlowFilter(service="nosuch"), 0),
        (FlowFilter(backend=f"{B1}:8080"), 1),
        (FlowFilter(backend=f"{B1}:8080", service="dns"), 0),
        (FlowFilter(state="unreplied"), 1),
        (FlowFilter(protocol="tcp"), 2),
        (FlowFilter(protocol="udp"), 1),
        (FlowFilter(client=CLIENT), 2),
        (FlowFilter(client="198.51.0.0/16"), 2),
        (FlowFilter(client="198.52.0.0/16"), 0),
        (FlowFilter(client="2001:db8::/32"), 1),
        (FlowFilter(client="::/0"), 3),
        (FlowFilter(client="0.0.0.0/0"), 2),
        (FlowFilter(client=CLIENT, protocol="tcp", state="established"), 1),
    ],
)
def test_a_filter_shows_what_it_names(wanted: FlowFilter, count: int) -> None:
    """The same as a flush by it would end."""
    assert len(snapshot(lively()).list_flows(wanted, None)) == count


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4])
def test_a_limit_is_kept(limit: int) -> None:
    """Over all workers together."""
    path = lively()
    both = snapshot(path, flows=[path._flows, path._flows])

    assert len(both.list_flows(FlowFilter(), limit)) == min(limit, 6)


def test_workers_are_summed_and_their_flows_told_apart() -> None:
    """Each has its own table and counters."""
    path = lively()
    both = snapshot(path, flows=[path._flows] * 2, counters=[path._counters] * 2)
    workers = [WorkerStatistics(index=0, pid=12, restarts=0)]
    stats = both.statistics(generation=2, uptime_seconds=1.23456, workers=workers)

    assert {flow.worker for flow in both.list_flows(FlowFilter(), None)} == {0, 1}
    assert both.list_backends()[0].packets.original == 4
    assert both.list_services({"web": 2.345})[0].new_flows_per_second == 2.3
    assert both.flows_opened("web") == 2
    assert (stats.packets.received, stats.flows.current, stats.generation) == (18, 6, 2)
    assert (stats.uptime_seconds, stats.workers) == (1.235, workers)


def test_a_backend_in_slow_start_shows_the_weight_it_has_by_now() -> None:
    """And a backup that waits, or who takes nothing, none at all."""
    path = engine(one_service(backends=[f"{B1}:8080", f"{B2}:8080", f"{B3}:8080"]))
    web = path._config.services["web"]
    first, second, third = web.backends
    pool = replace(first, weight=10), replace(second, backup=True), third
    web = replace(web, slow_start=SlowStart(seconds=30), backends=pool)
    config = replace(path._config, services={"web": web})
    came = {("web", first.name): RunTime(began_ms=1000)}
    shown = {
        now: snapshot(path, config=config, run_time=came, now_ms=now).list_backends()
        for now in (1000, 11_000, 16_000, 31_000)
    }

    assert [pool[0].effective_weight for pool in shown.values()] == [1, 3.33, 5, 10]
    assert to_json(shown[16_000][0])["effective_weight"].__class__ is int
    assert [(each.effective_weight, each.backup) for each in shown[1000]] == [
        *((1, False), (0, True), (1, False)),
    ]
    status = snapshot(path, config=config, run_time=came).list_services({})[0]
    assert (status.backends.total, status.backends.up) == (3, 3)


def test_a_backends_port_is_the_services_where_it_has_none() -> None:
    """As it is called."""
    path = engine(one_service(backends=[B1, f"{B2}:8080"]))

    assert [backend.address for backend in path.backends()] == [f"{B1}:80", f"{B2}:8080"]
    assert [backend.name for backend in path.backends()] == [B1, f"{B2}:8080"]


def test_a_service_shows_its_ranges_and_its_nat() -> None:
    """As they are written; a backend that keeps the port, at the first of them."""
    web = {**one_service(listen=f"tcp://{VIP}:80-89", backends=[B1])["web"], "nat": "full"}
    path = Engine({"services": {"web": web}, "datapath": {"source": ["10.77.0.1"]}})
    (service,), (backend,) = path.services(), path.backends()

    assert (service.listen, service.nat) == ([f"tcp://{VIP}:80-89"], "full")
    assert backend.address == f"{B1}:80"


def test_backends_of_one_service_can_be_asked_for() -> None:
    """Or of all."""
    whole = snapshot(lively())

    assert {backend.service for backend in whole.list_backends("dns")} == {"dns"}
    assert len(whole.list_backends()) == 8


def test_what_nobody_remembers_has_a_dash_for_a_name() -> None:
    """A row never stops the list."""
    path = lively()
    path._flows.rows[1]["service"], path._flows.rows[1]["backend"] = 999, 999
    whole = snapshot(
        path, tables=path._core.tables._replace(timeouts=np.zeros((1000, 8), np.int64))
    )
    flow = whole.list_flows(FlowFilter(), 1)[0]

    assert (flow.service, flow.backend) == (GONE, GONE)


def test_rows_that_are_not_live_are_not_shown() -> None:
    """Nor such as changed hands while they were copied."""
    path = lively()
    path._flows.rows["state"][1:4] = MAKING, ENDING, path._flows.rows["state"][3]
    assert len(path.flows()) == 1

    class Hurried:
        """Rows one of which is given out again between two looks at it."""

        def __init__(self) -> None:
            self.rows = path._flows.rows.copy()
            self.looks = 0

        def __getitem__(self, key: Any) -> Any:
            found = self.rows[key]
            self.looks += isinstance(key, str)
            if self.looks == 2:
                return found + 1 if key == "generation" else found
            return found

    hurried = path._flows._replace(rows=Hurried())
    assert len(_live_rows(hurried, 1, 10)) == 0


def test_a_time_ahead_of_ours_is_no_age() -> None:
    """The worker's clock may have moved on since it was asked."""
    flow = snapshot(lively(), now_ms=0).list_flows(FlowFilter(), 1)[0]

    assert flow.idle_seconds == 0.0


@pytest.mark.parametrize(
    ("text", "bits"),
    [("198.51.100.7", 128), ("198.51.100.7/24", 120), ("2001:db8::1", 128), ("::/0", 0)],
)
def test_a_client_is_an_address_or_a_prefix(text: str, bits: int) -> None:
    """Host bits may be set."""
    lanes, found = client_prefix(text)

    assert found == bits
    if text == "198.51.100.7/24":
        assert lanes == (0, 0, 0xFFFF, 0xC6336400)


def test_what_is_neither_is_a_usage_error() -> None:
    """With an example."""
    with pytest.raises(UsageError, match="client=here is neither"):
        client_prefix("here")
