from __future__ import annotations

from typing import Any

import pytest

from natlb.core.events import SYN_WAIT_MS, WRITTEN, is_overdue, is_unanswered, tell
from natlb.core.layout import (
    ANSWERED,
    MOST_EVENTS,
    OPENING,
    REFUSED,
    UNANSWERED,
    UNREACHABLE,
    UNREPLIED,
    UNREPLIED_LONG,
)
from natlb.engine import PacketMeta
from natlb.testing import packets
from tests.crash import KilledError
from tests.datapath import B1, CLIENT, VIP, engine, live_rows, one_service
from tests.kernels import needs_plain_kernels
from tests.watched import watch

needs_plain_kernels()

FROM, WEB, DNS, SERVER = f"{CLIENT}:40000", f"{VIP}:80", f"{VIP}:53", f"{B1}:8080"
PRIVATE = PacketMeta(side="private")
ONE_WEB = one_service(backends=[SERVER])
ONE_DNS = {"dns": {"listen": f"udp://{DNS}", "backends": [f"{B1}:5353"]}}


def told(path: Any) -> list[tuple[int, int, int]]:
    """Return kind, value and time of all that was told."""
    events = path._core.events
    count = int(events.counts[WRITTEN])
    assert [int(each) for each in events.ring["sequence"][:count]] == list(range(1, count + 1))
    return [
        (int(each["kind"]), int(each["value"]), int(each["time_ms"]))
        for each in events.ring[:count]
    ]


def failed(path: Any) -> int:
    """Return how often an opening of the one backend was counted as failed."""
    return int(path._core.counters.notes["failed"].sum())


def test_a_syn_that_is_repeated_unanswered_is_told_once() -> None:
    """At the first repetition after a second, with all that names the flow; not before."""
    path = engine(ONE_WEB)
    for now in (0.0, 0.2, 1.0, 3.0):
        path.process(packets.tcp(FROM, WEB), now)

    assert told(path) == [(UNANSWERED, 992, 1000)]
    (event,) = path._core.events.ring[:1]
    (number,) = live_rows(path._flows)
    row = path._flows.rows[number]
    assert (event["row"], event["generation"]) == (number, row["generation"])
    for name in ("original", "reply"):
        for field in event[name].dtype.names:
            assert event[name][field] == row[name][field]
    assert event["identity"] == path._core.tables.backends[row["backend"]]["identity"]
    assert failed(path) == 1


def test_an_unanswered_flow_is_told_by_the_sweep_too() -> None:
    """A client that gives up within a second repeats nothing."""
    path = engine(ONE_WEB | ONE_DNS)
    path.process(packets.tcp(FROM, WEB), 0.0)
    path.process(packets.udp(FROM, DNS), 0.0)
    path.tick(0.5)
    before = told(path)
    path.tick(1.5)
    path.tick(2.5)
    path.tick(3.5)

    assert before == []
    assert told(path) == [(UNANSWERED, 1472, 1500), (UNREPLIED_LONG, 2496, 2500)]


def test_a_flow_that_ends_unreplied_is_told_however_soon_it_ends() -> None:
    """A timeout may be shorter than what is waited for otherwise."""
    path = engine(ONE_DNS, timeouts={"udp_unreplied": 1})
    path.process(packets.udp(FROM, DNS), 0.0)
    path.tick(1.5)

    assert told(path) == [(UNREPLIED_LONG, 1472, 1500)]
    assert live_rows(path._flows) == []


def test_what_is_answered_is_never_told() -> None:
    """A client that does not go on is no fault of the backend's; nor is data that comes late."""
    path = engine(ONE_WEB | ONE_DNS)
    path.process(packets.tcp(FROM, WEB), 0.0)
    path.process(packets.tcp(SERVER, FROM, "SA"), 0.1)
    path.process(packets.udp(FROM, DNS), 0.0 + 0.1)
    path.process(packets.udp(f"{B1}:5353", FROM), 0.2)
    for now in (1.0, 2.0, 3.0):
        path.process(packets.tcp(FROM, WEB), now)
        path.process(packets.udp(FROM, DNS), now)
        path.tick(now)

    assert told(path) == []


def test_a_reset_in_answer_to_a_syn_is_told_at_once() -> None:
    """One with the acknowledgement that proves it; one later, or of the client's, says nothing."""
    path = engine(ONE_WEB)
    path.process(packets.tcp(FROM, WEB), 0.0)
    path.process(packets.tcp(SERVER, FROM, "RA", acknowledgement=77), 0.1)
    forged = told(path)
    path.process(packets.tcp(SERVER, FROM, "RA", acknowledgement=1001), 0.2)
    other = f"{CLIENT}:40001"
    path.process(packets.tcp(other, WEB), 0.3)
    path.process(packets.tcp(other, WEB, "R", sequence=1001), 0.4)

    assert forged == []
    assert told(path) == [(REFUSED, 192, 200)]


def test_an_icmp_error_about_an_opening_is_told_and_counts_for_nothing() -> None:
    """It is a hint: whoever forges one must not take a backend down."""
    path = engine(ONE_WEB)
    (sent,) = path.process(packets.tcp(FROM, WEB), 0.0).packets
    error = packets.icmp("10.9.0.1", CLIENT, 3, 1, payload=sent)
    path.process(error, 0.1, PRIVATE)
    path.process(packets.tcp(SERVER, FROM, "SA"), 0.2)
    path.process(error, 0.3, PRIVATE)

    assert told(path) == [(UNREACHABLE, 0x0301, 100)]
    assert failed(path) == 0


def test_the_ring_goes_round() -> None:
    """The writer never waits; what is there are the newest."""
    path = engine(ONE_WEB)
    path.process(packets.tcp(FROM, WEB), 0.0)
    (number,) = live_rows(path._flows)
    for value in range(MOST_EVENTS + 3):
        tell(path._core, number, UNANSWERED, value, 7)
    ring, counts = path._core.events

    assert int(counts[WRITTEN]) == MOST_EVENTS + 3
    assert sorted(int(each) for each in ring["sequence"]) == list(range(4, MOST_EVENTS + 4))
    assert [int(each) for each in ring["value"][:4]] == [MOST_EVENTS + at for at in range(3)] + [3]


@pytest.mark.parametrize("store", range(20))
def test_a_worker_that_dies_between_two_stores_leaves_no_half_event(store: int) -> None:
    """Its record has no number, or the count does not know it yet: the next one writes it anew."""
    path = engine(ONE_WEB)
    path.process(packets.tcp(FROM, WEB), 0.0)
    (number,) = live_rows(path._flows)
    tell(path._core, number, UNANSWERED, 1, 1)
    whole, left = path._core, store

    def before_store() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError

    try:
        dying = whole._replace(events=watch(whole.events, before_store))
        tell(dying, number, UNANSWERED, 2, 2)
    except KilledError:
        assert int(whole.events.counts[WRITTEN]) == 1
        assert int(whole.events.ring[1]["sequence"]) in {0, 2}
        tell(whole, number, UNANSWERED, 2, 2)

    assert told(path) == [(UNANSWERED, 1, 1), (UNANSWERED, 2, 2)]


def test_how_long_is_too_long_is_by_protocol() -> None:
    """A SYN is repeated after a second; a resolver may take longer than that."""
    assert [is_unanswered(state) for state in (OPENING, UNREPLIED, ANSWERED)] == [True, True, False]
    assert not is_overdue(OPENING, SYN_WAIT_MS - 1)
    assert is_overdue(OPENING, SYN_WAIT_MS)
    assert not is_overdue(UNREPLIED, SYN_WAIT_MS)
    assert is_overdue(UNREPLIED, 2000)
