from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.flow_table import hash_key, insert
from natlb.core.layout import DIRECT_ROWS, EXPIRED, FRESH, ROW, SWEEP, UNREPLIED
from natlb.core.lifetime import (
    MOST_ENDED,
    PIECE_EXTRA,
    PIECES,
    age,
    begin_life,
    idle_time,
    sweep_all,
    sweep_piece,
)
from natlb.core.one_key import keep_direct
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from natlb.wire.fields import UDP
from tests.datapath import (
    B1,
    CLIENT,
    VIP,
    assert_counts_agree,
    broken_laws,
    engine,
    live_rows,
    one_service,
)
from tests.kernels import add_flow, reply_key

FROM, WEB, DNS = f"{CLIENT}:40000", f"{VIP}:80", f"{VIP}:53"
TIMEOUTS = {
    "tcp_established": 100,
    "tcp_opening": 10,
    "tcp_transitory": 20,
    "udp": 30,
    "udp_unreplied": 5,
}
# Segments in order, and the timer that runs behind them
LIVES = {
    "c:S": "tcp_opening",
    "c:S b:SA": "tcp_opening",
    "c:S b:SA c:A": "tcp_established",
    "c:S b:SA c:A c:FA": "tcp_established",
    "c:S b:SA c:A c:FA b:FA": "tcp_transitory",
    "c:S b:RA": "tcp_transitory",
    "c:U": "udp_unreplied",
    "c:U b:U": "udp",
}


def lived(path: Any, talk: str, now: float = 0.0) -> None:
    """Play a talk."""
    server = ""
    for segment in talk.split():
        who, _, flags = segment.partition(":")
        vip = DNS if flags == "U" else WEB
        ends = (FROM, vip) if who == "c" else (server, FROM)
        packet = packets.udp(*ends) if flags == "U" else packets.tcp(*ends, flags)
        result = path.process(packet, now)
        server = server or packets.read(result.packets[0]).destination


@pytest.mark.parametrize("talk", LIVES)
def test_a_flow_ends_when_its_states_timer_has_run(talk: str) -> None:
    """Not a millisecond before; then the table is empty again (I5, T20)."""
    path = engine(timeouts=TIMEOUTS)
    lived(path, talk, now=7.0)
    timeout = TIMEOUTS[LIVES[talk]]
    assert path.flows()[0].expires_seconds == timeout

    path.tick(7.0 + timeout - 0.001)
    assert len(path.flows()) == 1
    assert path.flows()[0].expires_seconds == 0.001
    path.tick(7.0 + timeout)

    assert not path.flows()
    assert path.stats().flows.expired == 1
    assert not broken_laws(path._flows, path._counters)


def test_defaults_are_those_the_rfcs_ask_for() -> None:
    """RFC 5382 REQ-5, RFC 4787 REQ-5: by reading them."""
    for talk, seconds in (
        ("c:S", 240),
        ("c:S b:SA c:A", 7440),
        ("c:S b:RA", 240),
        ("c:U", 120),
        ("c:U b:U", 300),
    ):
        path = engine()
        lived(path, talk)
        assert path.flows()[0].expires_seconds == seconds


def test_a_services_own_timers_go_before_the_global_ones() -> None:
    """DNS may be short, without the rest being so."""
    path = engine(one_service(timeouts={"tcp_opening": 3}), timeouts=TIMEOUTS)
    lived(path, "c:S")

    assert path.flows()[0].expires_seconds == 3


@pytest.mark.parametrize("who", ["c", "b"])
def test_a_packet_of_either_direction_keeps_a_flow_alive(who: str) -> None:
    """U5, and its mirror."""
    path = engine(timeouts=TIMEOUTS)
    lived(path, "c:U b:U")
    server = path.flows()[0].server
    ends = (FROM, DNS) if who == "c" else (server, FROM)
    for turn in range(1, 6):
        assert path.process(packets.udp(*ends), turn * 24.0).verdict is Verdict.FORWARD
        path.tick(turn * 24.0)

    assert path.stats().flows.opened == 1


def test_a_late_packet_of_an_expired_flow_finds_none() -> None:
    """Before the sweep came by: exactness does not depend on its pace."""
    path = engine(timeouts=TIMEOUTS)
    lived(path, "c:S b:SA c:A")
    late = path.process(packets.tcp(FROM, WEB, "PA", payload=b"x"), 100.0)

    assert (late.verdict, late.reason) == (Verdict.REPLY, DropReason.OUT_OF_STATE)
    assert not path.flows()
    assert path.stats().flows.expired == 1


def test_a_first_packet_of_an_expired_flow_is_a_new_one() -> None:
    """With a choice of its own."""
    path = engine(timeouts=TIMEOUTS)
    lived(path, "c:U")
    first = path.flows()[0].server
    lived(path, "c:U", now=5.0)

    assert path.flows()[0].server != first
    assert (path.stats().flows.opened, path.stats().flows.expired) == (2, 1)
    assert_counts_agree(path.stats())


def test_ages_are_told() -> None:
    """Since the first packet and since the last."""
    path = engine()
    lived(path, "c:S", now=100.0)
    path.process(packets.tcp(FROM, WEB), 110.0)
    path.tick(115.5)
    flow = path.flows()[0]

    assert flow.idle_seconds == 5.5
    assert flow.age_seconds == pytest.approx(15.5, abs=0.032)


def test_a_flow_outlives_the_wrap_of_the_milliseconds() -> None:
    """After 49.7 days: ages are differences modulo 2^32."""
    wrap = (1 << 32) / 1000
    path = engine(timeouts=TIMEOUTS)
    lived(path, "c:S b:SA c:A", now=wrap - 50)
    path.tick(wrap + 49.9)
    assert len(path.flows()) == 1
    assert path.flows()[0].idle_seconds == pytest.approx(99.9)
    path.tick(wrap + 50)

    assert not path.flows()


@pytest.mark.usefixtures("one_by_one")
def test_time_that_seems_to_go_back_is_no_age() -> None:
    """Of a worker that took over and reads its clock a little early."""
    row = np.zeros(1, ROW)[0]
    begin_life(row, 5_000_000_000)

    assert row["seen"] == 5_000_000_000 & 0xFFFFFFFF
    assert row["created"] == 5_000_000_000 >> 5
    assert idle_time(row, 5_000_000_100) == 100
    assert idle_time(row, 4_999_999_999) == 0


def swept(flows_in_table: int) -> Any:
    """Return an engine with so many flows, all of which run out at once."""
    path = engine(
        {"dns": {"listen": f"udp://{VIP}:53", "backends": [f"{B1}:5353"]}},
        max_flows=max(1000, flows_in_table),
    )
    for number in range(flows_in_table):
        row = add_flow(path._flows, number, UNREPLIED, UDP)
        path._counters.backends[0]["current"] += 1
        path._counters.loads[0] += 1
        path._counters.services[0]["current"] += 1
        assert row
    return path


@pytest.mark.usefixtures("one_by_one")
def test_a_piece_of_the_sweep_is_a_1024th_of_the_rows_and_a_few() -> None:
    """Bounded work; all pieces of two seconds together look at every row."""
    path = swept(3000)
    looked_at = 3000 // PIECES + PIECE_EXTRA
    sweep_piece(path._core, 119_999)
    assert len(live_rows(path._flows)) == 3000
    assert int(path._flows.meta[SWEEP]) == 1 + looked_at
    sweep_piece(path._core, 120_000)

    assert len(live_rows(path._flows)) == 3000 - looked_at
    for _ in range(PIECES):
        sweep_piece(path._core, 120_000)
    assert not live_rows(path._flows)
    assert int(path._flows.meta[EXPIRED]) == 3000
    assert not broken_laws(path._flows, path._counters)


@pytest.mark.usefixtures("one_by_one")
def test_a_piece_ends_so_many_and_goes_on_there_next_time() -> None:
    """However many run out together, the packets behind it must not wait."""
    path = swept(8)
    rows_in_use = MOST_ENDED * PIECES
    path._flows.meta[FRESH] = rows_in_use + 1

    class Endless:
        """Rows that are all like the first ones, as far as a sweep can see."""

        def __getitem__(self, number: int) -> Any:
            return path._flows.rows[1 + number % 8]

    ended: list[int] = []

    def end(_core: Any, number: int, _ending: int) -> None:
        ended.append(number)

    flows = path._flows._replace(rows=Endless())
    core = path._core._replace(flows=flows)
    from natlb.core import lifetime

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifetime, "end_flow", end)
        sweep_piece(core, 120_000)
        assert ended == list(range(1, MOST_ENDED + 1))
        sweep_piece(core, 120_000)

    assert ended == list(range(1, 2 * MOST_ENDED + 1))


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("rows", [0, 1, 5, 16, 17])
def test_a_small_table_is_swept_whole_each_time_and_no_row_twice(rows: int) -> None:
    """The sweep begins again behind the last row that was ever used."""
    path = swept(rows)
    sweep_piece(path._core, 120_000)
    assert len(live_rows(path._flows)) == max(0, rows - PIECE_EXTRA)
    sweep_piece(path._core, 120_000)

    assert not live_rows(path._flows)
    assert int(path._flows.meta[SWEEP]) >= 1


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("sweep", [sweep_piece, sweep_all])
def test_a_direct_conversation_runs_out_too_and_counts_nowhere(sweep: Any) -> None:
    """By the timer of an established connection, of no service; it was no flow."""
    path = engine(timeouts=TIMEOUTS)
    key = reply_key(1)
    number = insert(path._flows, key, UDP, hash_key(path._flows, key, UDP))
    begin_life(path._flows.rows[number], 0)
    keep_direct(path._flows, number)
    path._flows.rows[number]["service"] = 0
    sweep(path._core, 99_999)
    assert int(path._flows.meta[DIRECT_ROWS]) == 1
    sweep(path._core, 100_000)

    assert int(path._flows.meta[DIRECT_ROWS]) == 0
    assert path.stats().flows.expired == 0
    assert not broken_laws(path._flows, path._counters)


@pytest.mark.usefixtures("one_by_one")
def test_every_flow_that_runs_out_is_gone_within_two_seconds() -> None:
    """At one piece every 2 ms, wherever in the table it lies (nat-behaviour: T to T + 2 s)."""
    path = swept(2000)
    for _ in range(1000):
        sweep_piece(path._core, 120_000)

    assert not live_rows(path._flows)


@pytest.mark.usefixtures("one_by_one")
def test_an_age_is_told_in_steps_and_never_below_zero() -> None:
    """Of a flow's beginning, whatever came since; right across the wrap after four years."""
    row = np.zeros(1, ROW)[0]
    for begun in (0, 6_400_000, (1 << 37) - 32):
        begin_life(row, begun)
        row["seen"] = 77
        assert [age(row, begun + later) for later in (0, 31, 32, 95)] == [0, 0, 32, 64]
    begin_life(row, 6_400_000)
    assert age(row, 6_399_000) == 0
