from __future__ import annotations

from natlb.testing import packets
from tests.datapath import CLIENT, VIP, engine

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
