from __future__ import annotations

from typing import Any

import pytest

from natlb.core import relief
from natlb.core.layout import CURRENT, DIRECT_ROWS, FREE_HEAD, FRESH, SWEEP
from natlb.core.lifetime import PIECE_EXTRA
from natlb.core.relief import (
    LEAST_MS,
    LOOKED_AT,
    MOST_MS,
    has_free_row,
    make_room,
    relieve,
    time_to_confirm,
)
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from tests.datapath import (
    CLIENT,
    VIP,
    assert_counts_agree,
    broken_laws,
    engine,
    established,
    unconfirmed_rows,
)
from tests.kernels import needs_plain_kernels, table_of

needs_plain_kernels()

WEB, DNS = f"{VIP}:80", f"{VIP}:53"


def call(path: Any, port: int, now: float = 0.0) -> Any:
    """Send a client's SYN."""
    return path.process(packets.tcp(f"{CLIENT}:{port}", WEB), now)


def query(path: Any, port: int, now: float = 0.0) -> Any:
    """Send a client's datagram."""
    return path.process(packets.udp(f"{CLIENT}:{port}", DNS, b"?"), now)


def clients(path: Any) -> set[int]:
    """Return the ports of the clients that have flows."""
    return {int(flow.client.rpartition(":")[2]) for flow in path.flows()}


def assert_sound(path: Any) -> None:
    """Hold the table's laws and the contract's of counters."""
    assert not broken_laws(path._flows, path._counters)
    assert_counts_agree(path.stats())


def test_a_new_flow_takes_the_place_of_the_oldest_unconfirmed_one() -> None:
    """One by one; a UDP flow without an answer is as good a one to give up."""
    path = engine(max_flows=4)
    call(path, 1)
    query(path, 2)
    established(path, f"{CLIENT}:3")
    call(path, 4)

    for newest, left in ((5, {2, 3, 4, 5}), (6, {3, 4, 5, 6}), (7, {3, 5, 6, 7})):
        assert call(path, newest).verdict is Verdict.FORWARD
        assert clients(path) == left
        assert_sound(path)
    assert path.stats().flows.evicted == 3
    assert path.stats().flows.current == 4


def test_what_has_run_out_goes_before_the_oldest_and_counts_as_expired() -> None:
    """Somebody else's timer was shorter."""
    path = engine(max_flows=3, timeouts={"udp_unreplied": 5})
    call(path, 1)
    query(path, 2)
    call(path, 3)
    call(path, 4, now=5.0)

    assert clients(path) == {1, 3, 4}
    assert (path.stats().flows.expired, path.stats().flows.evicted) == (1, 0)
    assert_sound(path)


def test_only_a_few_are_asked_whether_they_have_run_out() -> None:
    """Work for a packet is bounded."""
    path = engine(max_flows=LOOKED_AT + 1, timeouts={"udp_unreplied": 5})
    for port in range(LOOKED_AT):
        call(path, 1 + port)
    query(path, 99)
    call(path, 100, now=5.0)

    assert 1 not in clients(path)
    assert 99 in clients(path)
    assert path.stats().flows.evicted == 1


def test_established_and_replied_flows_are_never_given_up() -> None:
    """Full means a refusal, by its name."""
    path = engine(max_flows=3)
    established(path, f"{CLIENT}:1")
    server = packets.read(query(path, 2).packets[0]).destination
    path.process(packets.udp(server, f"{CLIENT}:2", b"!"), 0.0)
    server = established(path, f"{CLIENT}:3")
    path.process(packets.tcp(server, f"{CLIENT}:3", "RA", sequence=1001), 0.0)  # closing
    for port in range(10, 20):
        assert call(path, port).reason is DropReason.TABLE_FULL

    assert clients(path) == {1, 2, 3}
    assert path.stats().flows.evicted == 0
    assert_sound(path)


def test_a_flow_that_a_backend_refused_is_given_up() -> None:
    """A flood to a closed port fills the table with closing flows, for minutes otherwise."""
    path = engine(max_flows=2)
    for port in (1, 2):
        server = packets.read(call(path, port).packets[0]).destination
        answer = packets.tcp(server, f"{CLIENT}:{port}", "RA", acknowledgement=1001)
        path.process(answer, 0.0)
    call(path, 3)

    assert clients(path) == {2, 3}
    assert_sound(path)


def test_flows_that_have_run_out_keep_nobody_out_until_the_sweep_comes_by() -> None:
    """A new flow sweeps a few rows itself where there is no unconfirmed one."""
    path = engine(max_flows=PIECE_EXTRA + 2)
    for port in range(PIECE_EXTRA + 2):
        established(path, f"{CLIENT}:{1 + port}")
    path._flows.rows["seen"][-1] = 8_000_000  # the last row alone goes on
    refused = call(path, 100, now=7440.0)

    assert refused.verdict is Verdict.FORWARD
    assert path.stats().flows.expired == PIECE_EXTRA
    assert int(path._flows.meta[SWEEP]) == PIECE_EXTRA + 1
    assert_sound(path)


def test_no_flow_is_given_up_where_the_index_has_no_room() -> None:
    """It would not help: the key's two buckets are full whichever row goes."""
    path = engine(max_flows=4)
    call(path, 1)

    assert has_free_row(path._flows)
    assert make_room(path._core, 0) is False
    assert clients(path) == {1}


def test_a_row_is_free_on_the_list_or_where_none_was_used() -> None:
    """As `insert()` takes them."""
    flows = table_of(2)
    assert has_free_row(flows)
    flows.meta[FRESH] = 3
    assert not has_free_row(flows)
    flows.meta[FREE_HEAD] = 1
    assert has_free_row(flows)


@pytest.mark.parametrize(
    ("current", "allowed"),
    [
        (0, -1),
        (749, -1),
        (750, MOST_MS),
        (875, (MOST_MS + LEAST_MS) // 2),
        (999, LEAST_MS + (MOST_MS - LEAST_MS) // 250),
        (1000, LEAST_MS),
    ],
)
def test_the_time_to_be_confirmed_shrinks_with_the_free_rows(current: int, allowed: int) -> None:
    """Linearly, from three quarters full on."""
    flows = table_of(1000)
    flows.meta[CURRENT] = current
    assert time_to_confirm(flows) == allowed
    flows.meta[CURRENT], flows.meta[DIRECT_ROWS] = current - current // 2, current // 2

    assert time_to_confirm(flows) == allowed


def test_under_pressure_unconfirmed_flows_run_out_sooner() -> None:
    """The oldest first, and only until the pressure allows the next one its age."""
    path = engine(max_flows=100)
    for port in range(80):
        call(path, 1 + port, now=port * 1.0)
    established(path, f"{CLIENT}:200", now=80.0)
    path.tick(80.0)
    assert path.stats().flows.expired == 0
    path.tick(194.0)

    allowed = time_to_confirm(path._flows) / 1000
    ages = {194.0 - (port - 1) for port in clients(path) - {200}}
    assert 0 < path.stats().flows.expired < 10
    assert allowed < 0 or max(ages) <= allowed + 0.032
    assert 200 in clients(path)
    assert_sound(path)


def test_the_pressure_ends_nobody_who_is_young() -> None:
    """A full table of flows that are three seconds old less a step of the clock."""
    path = engine(max_flows=10)
    for port in range(10):
        call(path, 1 + port)
    assert relieve(path._core, LEAST_MS) == 0
    assert relieve(path._core, LEAST_MS + 32) == 1  # one free row allows the others more

    assert path._flows.meta[CURRENT] == 9


def test_a_one_way_stream_goes_to_the_young_end() -> None:
    """It has packets, though no answer: syslog, or a flow that another's age must not end."""
    path = engine(max_flows=3)
    for port in (1, 2, 3):
        query(path, port)
    query(path, 1, now=2.5)
    path.tick(3.1)

    assert clients(path) == {1, 3}  # 2 was over; then there was room
    assert [
        int(path._flows.rows[n]["original"]["source_port"]) for n in unconfirmed_rows(path._flows)
    ] == [3, 1]
    assert_sound(path)


def test_relief_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets wait behind each call; the engine, whose clock jumps, calls until all is done."""
    monkeypatch.setattr(relief, "MOST_RELIEVED", 10)
    path = engine(max_flows=400)
    for port in range(400):
        call(path, 1 + port)
    assert [relieve(path._core, 120_000) for _ in range(7)] == [10, 10, 10, 10, 10, 0, 0]
    for port in range(50):
        call(path, 1 + port, now=120.0)
    path.tick(140.0)

    assert path.stats().flows.expired == 50 + 58
    assert_sound(path)


def test_without_pressure_nothing_is_relieved() -> None:
    """However old."""
    path = engine(max_flows=100)
    call(path, 1)

    assert relieve(path._core, 239_999) == 0
    assert relieve(engine(max_flows=1)._core, 10**6) == 0
