"""The loads: what each sends, and which figures it gives."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.bench import loads
from natlb.bench.loads import LOADS
from natlb.bench.traffic import Answers, Delivery


@pytest.fixture(autouse=True)
def paper_traffic(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have every loader answer at once, and give what they were asked for."""
    asked: list[Any] = []

    def datagrams(_stand: Any, seconds: float, flows: int, rate: float = 0) -> Delivery:
        asked.append((seconds, flows, rate))
        return Delivery(sent_per_second=200_000, delivered_per_second=100_000, cpu_us=4)

    def bulk(_stand: Any, seconds: float, *, streams: int, from_backend: bool) -> float:
        asked.append((seconds, streams, from_backend))
        return 8.0

    def requests(_stand: Any, seconds: float, *, kept: bool, connections: int = 64) -> Answers:
        asked.append((seconds, kept, connections))
        return Answers(per_second=5000, p50=1, p99=2, p999=3, count=10_000)

    for function in (datagrams, bulk, requests):
        monkeypatch.setattr(loads, function.__name__, function)
    return asked


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_a_load_gives_a_figure_for_each_of_its_lines(load: loads.Load) -> None:
    """None too many, none too few, and the first is called as the load is or is its cost."""
    stand: Any = None
    figures = load.take(stand, 2.0)

    assert len(figures) == len(load.lines)
    assert all(isinstance(each, float | int) for each in figures)
    assert load.lines[0].key.partition(".")[0] == load.name


def test_names_of_loads_and_lines_are_all_different() -> None:
    """They are keys in JSON."""
    keys = [line.key for load in LOADS for line in load.lines]

    assert len(set(keys)) == len(keys)
    assert len({load.name for load in LOADS}) == len(LOADS)


def test_small_packets_come_of_few_and_of_many_flows(paper_traffic: list[Any]) -> None:
    """As many as go; the cost is taken at a rate that leaves the machine idle."""
    stand: Any = None
    for name in ("udp-8", "udp-30000", "cpu"):
        next(load for load in LOADS if load.name == name).take(stand, 1.0)

    assert paper_traffic == [(1.0, 8, 0), (1.0, 30_000, 0), (1.0, 1_000, 50_000)]


def test_bulk_goes_both_ways(paper_traffic: list[Any]) -> None:
    """With one stream and with four."""
    stand: Any = None
    for load in LOADS:
        if load.name.startswith("bulk"):
            load.take(stand, 1.0)

    ways = [(streams, back) for _, streams, back in paper_traffic]
    assert ways == [(1, False), (1, True), (4, False), (4, True)]


def test_proxies_of_connections_are_spared_datagrams_alone() -> None:
    """All else they take."""
    assert {load.name for load in LOADS if load.packets} == {"udp-8", "udp-30000", "cpu"}
