from __future__ import annotations

from natlb.control.compile.measures import HANDSHAKE_BOUNDS, handshakes_of
from natlb.core.layout import HANDSHAKE_BUCKETS
from natlb.testing import packets
from tests.datapath import B1, B2, CLIENT, VIP, engine, one_service


def test_answers_are_counted_by_how_long_they_took() -> None:
    """By the backend that answered; what changes hands begins anew."""
    path = engine(
        one_service(backends=[f"{B1}:80", f"{B2}:80"], policy="first"),
        timeouts={"tcp_opening": 400},
    )
    for port, taken in ((1, 0.0), (2, 0.0001), (3, 0.002), (4, 300.0)):
        client = f"{CLIENT}:{port}"
        path.process(packets.tcp(client, f"{VIP}:80"), 300.0 * port)
        path.process(packets.tcp(f"{B1}:80", client, "SA"), 300.0 * port + taken)
    found = handshakes_of(path._config, path._indices, [path._counters])
    both = handshakes_of(path._config, path._indices, [path._counters] * 2)

    (first, second) = found.values()
    assert list(found) == [("web", f"{B1}:80"), ("web", f"{B2}:80")]
    assert [(at, count) for at, count in enumerate(first.counts) if count] == [
        (0, 1),
        (1, 1),
        (5, 1),
        (HANDSHAKE_BUCKETS - 1, 1),
    ]
    assert (first.count, second.count) == (4, 0)
    assert abs(first.sum_seconds - 300.0021) < 1e-4
    assert both["web", f"{B1}:80"].count == 8


def test_bounds_are_powers_of_two_of_microseconds() -> None:
    """From 64 microseconds to four minutes; one bucket more has what is above."""
    assert HANDSHAKE_BOUNDS[:3] == (0.000064, 0.000128, 0.000256)
    assert HANDSHAKE_BOUNDS[-1] > 240
    assert len(HANDSHAKE_BOUNDS) == HANDSHAKE_BUCKETS - 1
