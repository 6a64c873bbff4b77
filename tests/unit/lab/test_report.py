from __future__ import annotations

from dataclasses import replace

import pytest

from natlb.lab.loader import Outcome
from natlb.lab.report import client_table, error_rows, in_bytes, service_table
from natlb.model import Backend, BackendFlows, PerDirection, PoolCount, Service, ServiceFlows

WEB = Service(
    name="web",
    listen=["tcp://203.0.113.10:80"],
    policy="round-robin",
    nat="dnat",
    backends=PoolCount(total=2, up=2),
    flows=ServiceFlows(current=3, total=2000),
    new_flows_per_second=3.0,
)
B1 = Backend(
    service="web",
    name="b1",
    address="10.77.0.11:8080",
    weight=1,
    effective_weight=1,
    backup=False,
    state="ready",
    health="unknown",
    flows=BackendFlows(current=1, opening=0, total=1000),
    packets=PerDirection(original=5000, reply=4000),
    bytes=PerDirection(original=400_000, reply=300_000),
)
B2 = replace(B1, name="b2", address="10.77.0.12:8080", state="draining")
OUTCOME = Outcome(
    service="web",
    kind="connections",
    address="203.0.113.10",
    sent=1000,
    answered=1000,
    seconds=2.0,
    backends={"b1": 600, "b2": 400},
    latency_ms={"p50": 1.26, "p90": 2.0, "p99": 3.0, "max": 10.5},
    errors={},
    sources=32,
    moved=0,
)


def test_services_stand_above_their_backends_in_the_manner_of_ipvsadm() -> None:
    """The columns every user of it knows, packets and bytes to their right."""
    rows = service_table([WEB], [B1, B2], {"web": 4.0})

    assert [row.text for row in rows] == [
        (
            "Prot VIP:Port                    Policy           Flows"
            "   New/s  Status             Packets     Bytes"
        ),
        (
            "TCP  203.0.113.10:80             round-robin       2000"
            "   500/s  2 of 2 up            18000    1.4 MB"
        ),
        (
            "  -> web/b1  10.77.0.11:8080     w1                1000"
            "   250/s  ready unknown         9000  700.0 kB"
        ),
        (
            "  -> web/b2  10.77.0.12:8080     w1                1000"
            "   250/s  draining unknown      9000  700.0 kB"
        ),
    ]


def test_a_rows_colour_is_its_state() -> None:
    """As on HAProxy's page."""
    down = replace(B1, health="down")
    rows = service_table([WEB], [B1, B2, down], {})

    assert [row.style for row in rows] == ["bold", "bold", "green", "yellow", "red"]


def test_long_addresses_widen_the_column() -> None:
    """IPv6 in full must not run into the next column."""
    long = replace(B1, address="[2001:db8:1111:2222:3333:4444:5555:6666]:8080")
    rows = service_table([WEB], [long], {})

    words = ("Policy", "round-robin", "w1")

    assert len({row.text.index(word) for row, word in zip(rows, words, strict=True)}) == 1


def test_further_places_of_a_service_have_rows_without_numbers() -> None:
    """What a service does is told once."""
    both = replace(WEB, listen=[*WEB.listen, "udp://203.0.113.10:80"])
    rows = service_table([both], [], {})

    assert rows[2].text == "UDP  203.0.113.10:80"


def test_without_traffic_there_is_no_rate() -> None:
    """Nothing is divided by no time."""
    rows = service_table([WEB], [B1], {})

    assert "/s" not in rows[1].text + rows[2].text


def test_the_client_tells_who_answered_and_how_soon() -> None:
    """A backend that never answered has a zero."""
    quiet = replace(OUTCOME, service="echo", kind="datagrams", backends={"b3": 7})
    rows = client_table([OUTCOME, quiet])

    assert [row.text for row in rows] == [
        (
            "Service  Sent                      Count     b1     b2 "
            "    b3  Errors       p50       p90       p99       max"
        ),
        (
            "web      HTTP, new connections      1000    600    400 "
            "     0       0    1.3 ms    2.0 ms    3.0 ms   10.5 ms"
        ),
        (
            "echo     UDP datagrams              1000      0      0 "
            "     7       0    1.3 ms    2.0 ms    3.0 ms   10.5 ms"
        ),
    ]


def test_errors_are_counted_and_named() -> None:
    """In red, and without times where nothing was answered."""
    failed = replace(OUTCOME, backends={}, latency_ms={}, errors={"no answer": 7, "reset": 2})

    assert client_table([failed])[1].text.split()[-1] == "9"
    assert client_table([failed])[1].style == "red"
    assert [row.text for row in error_rows([OUTCOME, failed])] == [
        "  web, HTTP, new connections: 7 x no answer",
        "  web, HTTP, new connections: 2 x reset",
    ]


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_345_678, "2.3 MB"), (10**13, "10.0 TB")],
)
def test_a_size_has_its_unit(octets: int, text: str) -> None:
    """Steps of a thousand, as rates on a wire are told."""
    assert in_bytes(octets) == text
