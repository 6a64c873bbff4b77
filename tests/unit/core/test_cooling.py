"""Row U17: a port that a flow gave back is left alone for two minutes."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.core.cooling import Cooling, cool_down, is_cooling, make_cooling
from natlb.core.layout import CLOSING
from natlb.core.lifetime import sweep_piece
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from tests.datapath import B1, CLIENT, SOURCE, VIP, engine, full_nat, live_rows
from tests.kernels import add_flow, needs_plain_kernels, table_of

needs_plain_kernels()

WEB, DNS = f"{VIP}:80", f"{VIP}:53"
SERVICES: dict[str, Any] = {
    "web": {"listen": f"tcp://{WEB}", "backends": [f"{B1}:80"], "nat": "full"},
    "dns": {
        "listen": f"udp://{DNS}",
        "backends": [f"{B1}:53"],
        "nat": "full",
        "timeouts": {"udp_unreplied": 10, "udp": 10},
    },
}


def one_port(**changes: Any) -> Any:
    """Return an engine with a single port to give."""
    services = {name: {**service, **changes.get(name, {})} for name, service in SERVICES.items()}
    return full_nat(services, source=(SOURCE,), ports="2000-2000")


def is_given(path: Any, packet: bytes, now: float) -> bool:
    """Return whether a packet that begins a flow gets the port."""
    result = path.process(packet, now)
    if result.verdict is Verdict.FORWARD:
        return True
    assert result.reason is DropReason.PORT_EXHAUSTED
    return False


@pytest.mark.parametrize("end", ["expired when it came", "swept", "ticked", "flushed"])
def test_a_port_is_not_given_again_for_two_minutes(end: str) -> None:
    """However its flow ended: answers may be under way to it."""
    path = one_port()
    assert is_given(path, packets.udp(f"{CLIENT}:1", DNS), 0.0)
    if end == "swept":
        sweep_piece(path._core, 10_000)
    elif end == "ticked":
        path.tick(10.0)
    elif end == "flushed":
        path.command("flush", 10.0)

    assert not is_given(path, packets.udp(f"{CLIENT}:1", DNS), 10.0)
    assert not is_given(path, packets.udp(f"{CLIENT}:2", DNS), 129.9)
    assert is_given(path, packets.udp(f"{CLIENT}:2", DNS), 131.5)


def test_another_protocol_does_not_wait_for_it() -> None:
    """U18: a backend's ports are those of a protocol."""
    same = {"backends": [f"{B1}:80"]}
    path = one_port(dns=same)
    assert is_given(path, packets.udp(f"{CLIENT}:1", DNS), 0.0)
    path.tick(20.0)

    assert is_given(path, packets.tcp(f"{CLIENT}:1", WEB), 20.0)


def test_a_connection_that_was_closed_leaves_its_port_at_once() -> None:
    """Both ends said that nothing more will come (RFC 6888 REQ-8, exception A)."""
    path = one_port()
    assert is_given(path, packets.tcp(f"{CLIENT}:1", WEB), 0.0)
    path._flows.rows[live_rows(path._flows)[0]]["state"] = CLOSING
    path.command("flush", 1.0)

    assert is_given(path, packets.tcp(f"{CLIENT}:2", WEB), 1.0)


def test_one_that_was_only_opened_does_not() -> None:
    """Its backend may still answer."""
    path = one_port()
    assert is_given(path, packets.tcp(f"{CLIENT}:1", WEB), 0.0)
    path.command("flush", 1.0)

    assert not is_given(path, packets.tcp(f"{CLIENT}:2", WEB), 1.0)


@pytest.mark.parametrize("answers", [0, 1])
def test_datagrams_that_were_all_answered_need_no_pause(answers: int) -> None:
    """Or a choice for each would use up a port each; one that waits for an answer keeps it."""
    path = one_port(dns={"datagrams": 1, "backends": [f"{B1}:53"]})
    seen = packets.read(path.process(packets.udp(f"{CLIENT}:1", DNS), 0.0).packets[0])
    for _ in range(answers):
        path.process(packets.udp(f"{B1}:53", seen.source), 0.0)
    path.command("flush", 1.0)

    assert is_given(path, packets.udp(f"{CLIENT}:1", DNS), 1.0) == bool(answers)


def test_a_flow_with_its_clients_own_port_leaves_nothing() -> None:
    """There is nobody else who could be given it."""
    path = full_nat()
    path.process(packets.udp(f"{CLIENT}:1", DNS), 0.0)
    path.command("flush", 1.0)

    assert not path._core.cooling.ended.any()


class Core:
    """What these kernels read of a core."""

    def __init__(self, places: int) -> None:
        """Have a table of flows whose reply keys stand for ports."""
        self.flows = table_of(64)
        self.cooling = Cooling(make_cooling(1).ended[:places])
        self.batch = engine()._batch

    def end(self, number: int, now: int) -> None:
        """End a flow whose source is not its client's."""
        row = self.flows.rows[number]
        row["original"]["source_port"] = 9
        self.batch.numbers[8] = now
        cool_down(self, row)  # type: ignore[arg-type]

    def cools(self, number: int, now: int) -> bool:
        """Return whether a flow's port is cooling."""
        return bool(is_cooling(self, self.flows.rows[number], now))  # type: ignore[arg-type]


def test_each_key_has_two_places_and_the_older_is_given_up() -> None:
    """What is forgotten is used early; nobody is refused for another's port."""
    core = Core(2)
    rows = [add_flow(core.flows, number) for number in range(5)]
    core.end(rows[0], 1_000)
    core.end(rows[1], 2_000)
    assert [core.cools(row, 3_000) for row in rows] == [True, True, False, False, False]
    core.end(rows[0], 4_000)  # again: its place is the same
    assert [core.cools(row, 5_000) for row in rows] == [True, True, False, False, False]
    core.end(rows[2], 6_000)
    assert [core.cools(row, 7_000) for row in rows] == [True, False, True, False, False]
    core.end(rows[3], 8_000)
    core.end(rows[4], 9_000)
    assert [core.cools(row, 9_000) for row in rows] == [False, False, False, True, True]
    core.end(rows[4], 9_500)
    core.end(rows[3], 9_500)
    assert [core.cools(row, 9_500) for row in rows] == [False, False, False, True, True]
    assert core.cools(rows[4], 129_999)
    assert not core.cools(rows[4], 131_000)


def test_the_clock_wraps() -> None:
    """Every 18 hours; what is two minutes old then is two minutes old."""
    core = Core(1 << 16)
    number = add_flow(core.flows, 1)
    core.end(number, 65_500_000)

    assert core.cools(number, 65_600_000)
    assert not core.cools(number, 65_700_000)


def test_a_table_that_is_full_of_entries_still_has_ports() -> None:
    """A tag tells them apart: what others gave back is not taken for this one."""
    path = full_nat(SERVICES, source=(SOURCE,), max_flows=100)
    ended = path._core.cooling.ended
    ended[:] = 0x12340000 + 1  # noted in second 1, all with one tag

    assert sum(is_given(path, packets.tcp(f"{CLIENT}:{n}", WEB), 2.0) for n in range(1, 99)) == 98


def test_the_memory_is_by_the_table_and_none_without_need() -> None:
    """A power of two, which hashes are cut to."""
    assert make_cooling(0).ended.size == 1
    assert make_cooling(100).ended.size == 1 << 16
    assert make_cooling(1 << 20).ended.size == 1 << 21
