from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import CLOSED, MARK_COUNTED
from natlb.core.lifetime import end_flow
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from tests.datapath import (
    CLIENT,
    SERVICES,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    engine,
    established,
    one_service,
)

WEB, WEB6, DNS = f"{VIP}:80", f"[{VIP6}]:80", f"{VIP}:53"


def limited(most: int, **rest: Any) -> Any:
    """Return an engine that lets each client have so many flows."""
    datapath = {"max_flows": 1000, "max_flows_per_source": most}
    return engine(datapath=datapath, **rest)


def call(path: Any, source: str, vip: str = WEB, now: float = 0.0) -> Any:
    """Send a SYN."""
    return path.process(packets.tcp(source, vip), now)


def counts(path: Any) -> list[int]:
    """Return how many flows each client has that has any."""
    return [int(each) for each in path._core.sources.counts["flows"] if each]


def assert_sound(path: Any) -> None:
    """Hold the table's laws and the contract's of counters."""
    assert not broken_laws(path._flows, path._counters)
    assert_counts_agree(path.stats())


@pytest.mark.parametrize(
    ("mine", "others", "vip"),
    [
        ("198.51.100.2", "198.51.100.3", WEB),
        ("[2001:db8:c::{:x}]", "[2001:db8:c:1::1]", WEB6),
    ],
)
def test_a_client_has_so_many_flows_and_others_are_not_affected(
    mine: str, others: str, vip: str
) -> None:
    """U16: the limit and one more; an IPv6 client is its whole /64."""
    path = limited(3)
    for port in range(1, 4):
        assert call(path, f"{mine.format(port)}:{port}", vip).verdict is Verdict.FORWARD
    for port in range(4, 9):
        assert call(path, f"{mine.format(port)}:{port}", vip).reason is DropReason.SOURCE_LIMIT
    assert call(path, f"{others}:1", vip).verdict is Verdict.FORWARD
    assert call(path, f"{mine.format(1)}:1", vip).verdict is Verdict.FORWARD  # of a flow

    assert len(path.flows()) == 4
    assert_sound(path)


def test_a_client_is_counted_over_all_services() -> None:
    """What one address holds of the table is meant."""
    path = limited(2)
    call(path, f"{CLIENT}:1")
    path.process(packets.udp(f"{CLIENT}:1", DNS, b"?"), 0.0)

    assert call(path, f"{CLIENT}:2").reason is DropReason.SOURCE_LIMIT


@pytest.mark.parametrize("ending", ["flush", "expiry", "eviction"])
def test_a_flow_that_ends_makes_room_for_its_client(ending: str) -> None:
    """However it ends; the counts do not drift."""
    path = engine(datapath={"max_flows": 2, "max_flows_per_source": 2})
    for turn in range(4):
        now = turn * 1000.0
        for port in (1, 2):
            assert call(path, f"{CLIENT}:{port}", now=now).verdict is Verdict.FORWARD
        if ending == "eviction":
            for port in (1, 2):
                assert call(path, f"198.51.100.9:{port}", now=now).verdict is Verdict.FORWARD
            assert counts(path) == [2]
        if ending == "expiry":
            path.tick(now + 240)
        else:
            path.command("flush", now)
        assert not counts(path)
        assert_sound(path)


def test_a_flow_that_is_begun_anew_is_counted_once() -> None:
    """A SYN that meets a closing flow ends it first: the client is at its limit, not over it."""
    path = limited(1)
    for _ in range(3):
        first = call(path, f"{CLIENT}:1")
        assert first.verdict is Verdict.FORWARD
        server = packets.read(first.packets[0]).destination
        path.process(packets.tcp(server, f"{CLIENT}:1", "RA", acknowledgement=1001), 0.0)
        assert path.flows()[0].state == "closing"

    assert counts(path) == [1]
    assert path.stats().flows.opened == 3
    assert_sound(path)


@pytest.mark.usefixtures("one_by_one")
def test_what_was_not_counted_is_not_counted_off() -> None:
    """An exception between making a flow and counting it must not let the client have more."""
    path = limited(3)
    for port in (1, 2):
        call(path, f"{CLIENT}:{port}")
    path._flows.rows[1]["marks"] = int(path._flows.rows[1]["marks"]) & ~MARK_COUNTED
    end_flow(path._core, 1, CLOSED)
    assert counts(path) == [2]
    end_flow(path._core, 2, CLOSED)

    assert counts(path) == [1]


def test_a_refused_packet_counts_nothing() -> None:
    """Without a backend, a row is not even made."""
    path = limited(1)
    for name in SERVICES["web"]["backends"]:
        path.set_backend(f"web/{name}", weight=0)
    for port in range(5):
        assert call(path, f"{CLIENT}:{1 + port}").reason is DropReason.NO_BACKEND

    assert not counts(path)


def test_a_service_has_so_many_flows() -> None:
    """Over all clients; another service goes on."""
    services = {**SERVICES, "web": {**SERVICES["web"], "max_flows": 2}}
    path = engine(services)
    for host in range(2):
        assert call(path, f"198.51.100.{2 + host}:1").verdict is Verdict.FORWARD
    assert call(path, "198.51.100.9:1").reason is DropReason.SERVICE_LIMIT
    assert call(path, "[2001:db8:c::2]:1", WEB6).verdict is Verdict.FORWARD
    assert call(path, "198.51.100.2:1").verdict is Verdict.FORWARD  # of a flow
    path.command("flush service=web client=198.51.100.2", 0.0)
    assert call(path, "198.51.100.9:1").verdict is Verdict.FORWARD

    assert (
        path.stats().drops.get("service-limit", 0) + path.stats().replies.get("service-limit", 0)
        == 1
    )
    assert_sound(path)


def test_flows_that_are_closing_take_no_place_of_a_services_limit() -> None:
    """Short connections go on one behind the other, though each is kept for four minutes."""
    path = engine({**SERVICES, "web": {**SERVICES["web"], "max_flows": 2}})
    for port in range(1, 9):
        server = established(path, f"{CLIENT}:{port}")
        assert call(path, f"{CLIENT}:{100 + port}").reason is (
            None if port == 1 else DropReason.SERVICE_LIMIT
        )
        for source, target, sequence in (
            (f"{CLIENT}:{port}", WEB, 1001),
            (server, f"{CLIENT}:{port}", 2001),
        ):
            path.process(packets.tcp(source, target, "FA", sequence=sequence), 0.0)
        assert {flow.state for flow in path.flows()} == {"opening", "closing"}

    assert len(path.flows()) == 9
    assert_sound(path)


def test_access_lists_are_asked_for_new_flows_only() -> None:
    """A list that is loaded later ends no flow."""
    path = engine(one_service())
    established(path, f"{CLIENT}:1")
    denied = one_service(access={"deny": [f"{CLIENT}/32"]})
    path.load({"datapath": {"max_flows": 1000}, "services": denied})

    assert call(path, f"{CLIENT}:2").reason is DropReason.ACCESS
    assert call(path, "198.51.100.3:2").verdict is Verdict.FORWARD
    data = packets.tcp(f"{CLIENT}:1", WEB, "PA", sequence=1001, acknowledgement=2, payload=b"x")
    assert path.process(data, 0.0).verdict is Verdict.FORWARD
    assert_sound(path)


@pytest.mark.parametrize(
    ("access", "source", "vip", "passes"),
    [
        ({"allow": ["198.51.100.0/24"]}, f"{CLIENT}:1", WEB, True),
        ({"allow": ["198.51.100.0/24"]}, "198.51.101.2:1", WEB, False),
        ({"allow": ["198.51.100.0/24"]}, "[2001:db8:c::2]:1", WEB6, False),
        ({"deny": ["198.51.100.0/24"]}, "[2001:db8:c::2]:1", WEB6, True),
        ({"deny": ["2001:db8:c::/64"]}, "[2001:db8:c::2]:1", WEB6, False),
        ({"deny": ["2001:db8:c::/64"]}, "[2001:db8:c:1::2]:1", WEB6, True),
    ],
)
def test_access_lists_judge_both_ip_versions(
    access: dict[str, Any], source: str, vip: str, *, passes: bool
) -> None:
    """For all services at once."""
    path = engine(access=access)
    result = call(path, source, vip)

    assert (result.reason is None) is passes
    if not passes:
        assert result.reason is DropReason.ACCESS
        assert not path.flows()
