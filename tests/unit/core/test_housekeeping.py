from __future__ import annotations

from typing import Any

from natlb.testing import packets
from tests.datapath import CLIENT, VIP, broken_laws, engine

WEB = f"{VIP}:80"


def crowded(size: int) -> Any:
    """Return an engine whose table is full of clients that call and say no more."""
    path = engine(max_flows=size)
    for port in range(size):
        path.process(packets.tcp(f"{CLIENT}:{1 + port}", WEB), 0.0)
    return path


def test_a_tick_ends_all_that_has_run_out() -> None:
    """The caller moves the clock by hours at once; there is no next piece."""
    path = crowded(1000)
    path.tick(239.9)
    assert path.flows()
    path.tick(240.0)

    assert not path.flows()
    assert path.stats().flows.expired == 1000


def test_a_tick_relieves_the_table_of_all_that_the_pressure_allows() -> None:
    """One great leap of the clock ends the same flows as many small steps to the same time."""
    leaping, stepping = crowded(4000), crowded(4000)
    for second in range(4, 61, 4):
        stepping.tick(second * 1.0)
    leaping.tick(60.0)
    left = [{flow.client for flow in path.flows()} for path in (leaping, stepping)]

    assert left[0] == left[1]
    assert 4000 - 512 < len(left[0]) < 4000
    assert not broken_laws(leaping._flows, leaping._counters)
