from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.testing import packets
from tests.datapath import (
    B1,
    CLIENT,
    VIP,
    broken_laws,
    engine,
    established,
    live_rows,
    one_service,
)

if TYPE_CHECKING:
    from natlb.engine import Engine

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"


def test_traffic_is_counted_for_flow_backend_and_service() -> None:
    """By direction, octets from the IP header on."""
    path = engine()
    first = path.process(packets.tcp(FROM, WEB), 0.0)
    server = packets.read(first.packets[0]).destination
    path.process(packets.tcp(server, FROM, "SA"), 0.0)
    path.process(packets.tcp(FROM, WEB, "PA", payload=b"x" * 60) + b"padding", 0.0)
    flow = path.flows()[0]
    backend = next(b for b in path.backends() if b.name == flow.backend)
    service = path.services()[0]

    assert (flow.packets.original, flow.packets.reply) == (2, 1)
    assert (flow.bytes.original, flow.bytes.reply) == (140, 40)
    assert (backend.packets, backend.bytes) == (flow.packets, flow.bytes)
    assert service.flows.current == 1
    counts = path._counters.services[0]
    assert (counts["packets_original"], counts["packets_reply"]) == (2, 1)
    assert (counts["bytes_original"], counts["bytes_reply"]) == (140, 40)


def test_each_packet_starts_the_timer_anew() -> None:
    """A flow lives for so long after its last packet, not its first (U5)."""
    path = engine()
    path.process(packets.udp(FROM, f"{VIP}:53"), 0.0)
    path.process(packets.udp(FROM, f"{VIP}:53"), 100.0)

    assert path.flows()[0].idle_seconds == 0
    path.tick(219.0)
    assert path.flows()
    path.tick(221.0)
    assert not path.flows()


def test_a_flow_that_both_ends_closed_is_counted_as_closing() -> None:
    """For its backend and its service, until it is over; so it is no load any more."""
    path = engine(one_service(backends=[f"{B1}:8080"]))
    established(path, FROM)
    path.process(packets.tcp(FROM, WEB, "FA"), 0.0)
    counts = path._counters.services[0], path._counters.backends[int(live_backend(path))]
    assert [int(count["closing"]) for count in counts] == [0, 0]
    path.process(packets.tcp(f"{B1}:8080", FROM, "FA"), 0.0)
    assert path.flows()[0].state == "closing"
    assert [int(count["closing"]) for count in counts] == [1, 1]
    assert broken_laws(path._flows, path._counters) == []
    path.tick(10_000.0)

    assert [int(count["closing"]) for count in counts] == [0, 0]
    assert broken_laws(path._flows, path._counters) == []


def live_backend(path: Engine) -> int:
    """Return the index of the only flow's backend."""
    (number,) = live_rows(path._flows)
    return int(path._flows.rows[number]["backend"])


def test_the_first_answer_is_timed() -> None:
    """Once for a flow, and the field it was kept in is free again."""
    path = engine(one_service(backends=[f"{B1}:8080"]))
    path.process(packets.tcp(FROM, WEB), 1.0)
    backend = live_backend(path)
    assert path._flows.rows["reply"]["timestamp_delta"].any()
    path.process(packets.tcp(f"{B1}:8080", FROM, "SA"), 1.003)
    path.process(packets.tcp(FROM, WEB, "A"), 5.0)

    assert abs(int(path._counters.notes[backend]["handshake_us"]) - 3000) <= 1
    assert not path._flows.rows["reply"]["timestamp_delta"].any()
