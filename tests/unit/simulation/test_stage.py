from __future__ import annotations

import pytest

from natlb.control.config import PolicyConfig, config_from_mapping
from natlb.simulation.changes import Change
from natlb.simulation.contenders import invented
from natlb.simulation.kernels.world import NOBODY
from natlb.simulation.stage import Arena, Stage

POLICY = PolicyConfig(name="round-robin")


def pool(stage: Stage) -> list[int]:
    """Return which backends take new flows."""
    record, tables = stage.core.tables.services[stage.service], stage.core.tables
    start = record["pool_start"]
    return [int(each) for each in tables.rings[start : start + record["pool_size"]]]


def change(kind, backend="b2", weight=None) -> Change:
    """Return a change at one and a half seconds."""
    return Change(at_seconds=1.5, kind=kind, backend=backend, weight=weight)


@pytest.mark.parametrize(
    ("away", "back"), [("fail", "recover"), ("drain", "ready"), ("remove", "add")]
)
def test_a_backend_leaves_the_pool_and_comes_back(away, back) -> None:
    """By its own index; each change is a generation."""
    stage = Stage(invented([1, 1, 1], 1), POLICY, 10)
    broken = stage.apply(change(away))
    without = pool(stage)
    stage.apply(change(back))

    assert broken == (1 if away == "fail" else NOBODY)
    assert without == [0, 2]
    assert pool(stage) == [0, 1, 2]
    assert stage.core.tables.numbers[0] == 3


def test_a_weight_of_0_takes_it_out_of_the_pool() -> None:
    """As at run time."""
    stage = Stage(invented([1, 1], 1), POLICY, 10)
    stage.apply(change("weigh", weight=0))

    assert pool(stage) == [0]


def test_flows_stay_over_a_change() -> None:
    """Only tables are new."""
    stage = Stage(invented([1, 1], 1), POLICY, 10)
    before = stage.core
    stage.apply(change("drain"))

    assert stage.core.flows is before.flows
    assert stage.core.counters is before.counters
    assert stage.core.tables is not before.tables


def test_only_the_service_that_is_meant_plays() -> None:
    """With the policy that is tried, and its own limits; the table is no larger than it must be."""
    services = {
        "a": {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.1:80"]},
        "b": {"listen": "udp://203.0.113.10:53", "backends": ["10.77.0.2", "10.77.0.3"]},
    }
    config = config_from_mapping({"services": services, "datapath": {"max_flows": 1000}})
    arena = Arena(config=config, service="b", seed=1)
    playing = arena.playing(PolicyConfig(name="source-hash"), 50)

    assert arena.names == ["10.77.0.2", "10.77.0.3"]
    assert arena.weights == [1, 1]
    assert not arena.is_tcp
    assert list(playing.services) == ["b"]
    assert playing.services["b"].policy.name == "source-hash"
    assert playing.datapath.max_flows == 50
    assert arena.playing(POLICY, 5000).datapath.max_flows == 1000
