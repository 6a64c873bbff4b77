from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from natlb.core.opening import draw_random
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from tests.datapath import (
    B1,
    B2,
    B3,
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    engine,
    established,
    one_service,
)

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"
OTHER_VIP = "203.0.113.11"


def backend_of(path: Any, source: str, vip: str = WEB) -> str:
    """Return which backend a client's SYN was sent to."""
    result = path.process(packets.tcp(source, vip), 0.0)
    return packets.read(result.packets[0]).destination


def test_a_flow_is_what_its_first_packet_says() -> None:
    """And the document of the contract names both its ends."""
    path = engine()
    server = backend_of(path, FROM)
    flow = path.flows()[0]

    assert (flow.service, flow.protocol, flow.state) == ("web", "tcp", "opening")
    assert (flow.client, flow.vip, flow.server) == (FROM, WEB, server)
    assert flow.backend == server
    assert flow.source is None
    assert path.stats().flows.opened == path.stats().flows.peak == 1
    assert path.services()[0].flows.total == 1
    assert [b.flows.opening for b in path.backends() if b.service == "web"] == [1, 0]


@pytest.mark.parametrize("build", [packets.tcp, packets.udp])
def test_a_repeated_first_packet_is_of_the_same_flow(build: Any) -> None:
    """SYN five times: one flow, the same backend each time (T5)."""
    path = engine()
    vip = WEB if build is packets.tcp else f"{VIP}:53"
    sent = [path.process(build(FROM, vip), 0.0) for _ in range(5)]

    assert len({result.packets[0] for result in sent}) == 1
    assert len(path.flows()) == 1
    assert path.stats().flows.opened == 1


def test_first_packets_of_one_flow_in_one_batch_make_one_flow() -> None:
    """The second was looked up before the first had made it (trap 8)."""
    path = engine()
    results = path.process_batch([packets.tcp(FROM, WEB)] * 3, 0.0)

    assert len({result.packets[0] for result in results}) == 1
    assert len(path.flows()) == 1


@pytest.mark.parametrize("flags", ["S", "SEC", "SU"])
def test_any_syn_opens_with_data_or_options(flags: str) -> None:
    """TCP fast open brings data with it (T6), ECN two more flags."""
    path = engine()
    packet = packets.tcp(FROM, WEB, flags, payload=b"early", options=bytes([34, 2, 1, 1]))

    assert path.process(packet, 0.0).verdict is Verdict.FORWARD


def test_a_backend_without_a_port_is_called_on_the_clients() -> None:
    """The service's port, which a listening range will keep."""
    path = engine(one_service(backends=[B1]))

    assert backend_of(path, FROM) == f"{B1}:80"


def test_a_client_of_either_version_gets_a_backend_of_its_own() -> None:
    """IPv6 all the way."""
    path = engine()

    assert backend_of(path, f"[{CLIENT6}]:40000", f"[{VIP6}]:80").startswith("[fd00:9::")


@pytest.mark.parametrize(
    ("services", "verdict"),
    [
        (one_service(), Verdict.REPLY),
        (one_service(no_backend="reject"), Verdict.REPLY),
        (one_service(no_backend="drop"), Verdict.DROP),
    ],
)
def test_a_service_without_backends_rejects_or_is_silent(
    services: dict[str, Any], verdict: Verdict
) -> None:
    """As configured; no flow is made either way."""
    path = engine(services)
    for name in ("web/" + each for each in (f"{B1}:8080", f"{B2}:8080")):
        path.set_backend(name, state="draining")
    result = path.process(packets.tcp(FROM, WEB), 0.0)

    assert (result.verdict, result.reason) == (verdict, DropReason.NO_BACKEND)
    assert not path.flows()
    assert not broken_laws(path._flows, path._counters)
    if verdict is Verdict.REPLY:
        assert packets.read(result.packets[0]).flags == "RA"
    assert_counts_agree(path.stats())


def test_a_udp_service_without_backends_is_unreachable() -> None:
    """By ICMP, from the VIP."""
    path = engine()
    for name in (f"dns/{B1}:5353", f"dns/{B2}:5353"):
        path.set_backend(name, weight=0)
    result = path.process(packets.udp(FROM, f"{VIP}:53", b"?"), 0.0)

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.NO_BACKEND)
    assert result.packets[0][20:22] == b"\x03\x03"


@pytest.mark.parametrize("size", [1, 2, 16])
def test_a_full_table_refuses_new_flows_and_keeps_the_old(size: int) -> None:
    """By its name; each flow that there is goes on, and room is used again."""
    path = engine(max_flows=size)
    ports = range(40000, 40000 + size)
    for port in ports:
        established(path, f"{CLIENT}:{port}")
    result = path.process(packets.tcp(FROM.replace("40000", "39999"), WEB), 0.0)

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.TABLE_FULL)
    for port in ports:
        assert path.process(packets.tcp(f"{CLIENT}:{port}", WEB), 0.0).verdict is Verdict.FORWARD
    path.command("flush", 0.0)
    assert path.process(packets.tcp(FROM, WEB), 0.0).verdict is Verdict.FORWARD
    assert not broken_laws(path._flows, path._counters)


TWO_VIPS = {"web": {"listen": [f"tcp://{VIP}:80", f"tcp://{OTHER_VIP}:80"], "backends": []}}


def two_vips(*backends: str) -> Any:
    """Return an engine with one pool behind two VIPs."""
    return engine({"web": {**TWO_VIPS["web"], "backends": list(backends)}})


def test_a_client_that_calls_two_vips_from_one_port_gets_two_backends() -> None:
    """One backend's answers to that port could not be told apart (trap 7)."""
    for port in range(40000, 40020):
        path = two_vips(f"{B1}:8080", f"{B2}:8080", f"{B3}:8080")
        source = f"{CLIENT}:{port}"
        servers = [backend_of(path, source), backend_of(path, source, f"{OTHER_VIP}:80")]
        assert len(set(servers)) == 2
        for server, vip in zip(servers, (WEB, f"{OTHER_VIP}:80"), strict=True):
            answer = path.process(packets.tcp(server, source, "SA"), 0.0).packets[0]
            assert packets.read(answer).source == vip
        assert not broken_laws(path._flows, path._counters)


def test_a_client_whom_no_backend_can_tell_apart_is_refused() -> None:
    """With a reason of its own; the row is given back."""
    path = two_vips(f"{B1}:8080")
    backend_of(path, FROM)
    result = path.process(packets.tcp(FROM, f"{OTHER_VIP}:80"), 0.0)

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.PORT_EXHAUSTED)
    assert len(path.flows()) == 1
    assert not broken_laws(path._flows, path._counters)
    assert path.services()[0].flows.total == 1


def test_the_same_seed_draws_the_same_backends() -> None:
    """Replay is exact: the same packets and times give the same octets out."""
    spread = one_service(policy="source-hash", backends=[f"{B1}:1", f"{B2}:1", f"{B3}:1"])
    one, same, other = (
        [backend_of(path, f"198.51.{n}.7:1000") for n in range(100)]
        for path in (engine(spread, seed=1), engine(spread, seed=1), engine(spread, seed=2))
    )

    assert one == same != other


@pytest.mark.usefixtures("one_by_one")
def test_random_draws_are_31_bits_and_even() -> None:
    """A policy uses them as they are; a sign bit would be a negative index."""
    path = engine()
    drawn = [draw_random(path._core) for _ in range(4000)]
    bits = Counter(bit for number in drawn for bit in range(31) if number >> bit & 1)

    assert all(0 <= number < 1 << 31 for number in drawn)
    assert len(set(drawn)) > 3990
    assert all(1800 < bits[bit] < 2200 for bit in range(31))


def test_another_choice_keeps_the_limits_of_backends_too() -> None:
    """A client's port that talks to the backend already is not sent to one that is full."""
    limited = {"address": f"{B2}:8080", "max_flows": 1}
    services = {"web": {"listen": f"tcp://{VIP}:80", "backends": [f"{B1}:8080", limited]},
                "alt": {"listen": "tcp://203.0.113.11:80", "backends": [f"{B1}:8080"]}}  # fmt: skip
    path = engine(services)
    servers = {backend_of(path, f"198.51.100.9:{port}") for port in (1, 2)}
    assert servers == {f"{B1}:8080", f"{B2}:8080"}
    path.process(packets.tcp(f"{CLIENT}:1", "203.0.113.11:80"), 0.0)
    result = path.process(packets.tcp(f"{CLIENT}:1", f"{VIP}:80"), 0.0)

    assert result.reason is DropReason.PORT_EXHAUSTED
    assert {flow.server for flow in path.flows() if flow.client == f"{CLIENT}:1"} == {f"{B1}:8080"}
