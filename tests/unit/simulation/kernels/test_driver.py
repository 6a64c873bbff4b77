from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from natlb.control.config import config_from_mapping
from natlb.core.layout import CURRENT, OPENED
from natlb.core.policy import pick
from natlb.simulation import run as runs
from natlb.simulation.changes import read_span
from natlb.simulation.contenders import contender, invented
from natlb.simulation.kernels.world import (
    ARRIVED,
    BROKEN,
    EVICTED,
    NEVER,
    NOT_YET,
    make_world,
)
from natlb.simulation.run import Scenario, Show, prepare
from natlb.simulation.stage import Arena, Stage
from natlb.wire.reasons import PORT_EXHAUSTED, SERVICE_LIMIT
from tests.simulations import played, workload

MS = 1000


@pytest.fixture(autouse=True)
def few_are_asked(monkeypatch) -> None:
    """Interpreted, twenty thousand are many."""
    monkeypatch.setattr("natlb.simulation.disruption.CLIENTS", 200)


def show_of(arena: Arena, flows, **scenario):
    """Return a run that has not begun, and its core."""
    given = Scenario(workload=flows, **scenario)
    stage = Stage(arena, contender("round-robin", 1).policy, flows.starts.size)
    script = runs._script(arena, given, stage.service)
    world = make_world(flows.starts.size, len(arena.names), np.zeros(0, np.int64))
    prepare(stage, script, world)
    return Show(arena, stage, script, world, pick), stage


def test_a_flow_is_opening_then_established_then_gone() -> None:
    """The core's own counts say so, as they would of packets."""
    flows = workload(1, arrivals="constant:100", handshake="constant:0.002")  # at 10 ms
    show, stage = show_of(invented([1], 1), flows)
    counts, meta = stage.core.counters.backends[0], stage.core.flows.meta
    seen = []
    for moment in (10, 11, 13, 112, 113):
        show.play(moment * MS)
        seen.append((int(counts["current"]), int(counts["opening"]), int(counts["closing"])))

    assert seen == [(0, 0, 0), (1, 1, 0), (1, 0, 0), (1, 0, 0), (0, 0, 0)]
    assert (meta[OPENED], meta[CURRENT]) == (1, 0)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("vip", ["203.0.113.10", "[2001:db8::10]"])
def test_every_flow_ends_and_nothing_is_left(protocol: str, vip: str) -> None:
    """Rows, lists and counts are as before the first."""
    backend = "10.77.0.1:80" if "." in vip else "[2001:db8:77::1]:80"
    service = {"listen": f"{protocol}://{vip}:80", "backends": [backend]}
    arena = Arena(config=config_from_mapping({"services": {"s": service}}), service="s", seed=1)
    show, stage = show_of(arena, workload(30))
    show.play(NEVER)
    counts = stage.core.counters.backends[0]

    assert (show._world.ended != NOT_YET).all()
    assert int(counts["total"]) == 30
    assert [int(counts[name]) for name in ("current", "opening", "closing")] == [0, 0, 0]
    assert stage.core.flows.meta[CURRENT] == 0


def test_times_are_as_the_script_says() -> None:
    """Handshake and service of a slow backend take so many times as long."""
    world = played(weights=[1, 1], slowness={"b2": 3.0}).world
    is_slow = world.backends == 1
    starts = workload().starts

    assert set((world.answered - starts)[~is_slow]) == {1 * MS}
    assert set((world.answered - starts)[is_slow]) == {3 * MS}
    assert set((world.ended - world.served)[~is_slow]) == {100 * MS}
    assert set((world.ended - world.served)[is_slow]) == {300 * MS}


def test_flows_wait_for_a_server_in_the_order_of_their_answers() -> None:
    """One server, flows every 10 ms that take 25 ms: each waits 15 ms longer than the last."""
    flows = workload(5, holding="constant:0.025")
    world = played(weights=[1], flows=flows, servers=1).world

    assert list(world.served - world.answered) == [0, 15 * MS, 30 * MS, 45 * MS, 60 * MS]
    assert list(np.diff(world.ended)) == [25 * MS] * 4


def test_flows_of_a_backend_that_fails_break_and_its_queue_is_gone() -> None:
    """What comes after it is back finds its servers idle."""
    flows = workload(40, holding="constant:0.05")
    world = played(
        weights=[1, 1], flows=flows, servers=1, changes=read_span("fail", "b1@0.2-0.3")
    ).world
    at_b1 = np.flatnonzero(world.backends == 0)
    broken = np.flatnonzero(world.ended == 200 * MS)
    later = [at for at in at_b1 if flows.starts[at] > 300 * MS]

    assert 1 < broken.size == world.numbers[BROKEN]
    assert set(world.backends[broken]) == {0}
    assert not any(200 * MS <= flows.starts[at] < 300 * MS for at in at_b1)
    assert world.served[later[0]] == world.answered[later[0]]
    assert (world.ended != NOT_YET).all()


def test_a_drained_backend_keeps_what_it_has() -> None:
    """And is given nothing new."""
    flows = workload(40)
    world = played(weights=[1, 1], flows=flows, changes=read_span("drain", "b1@0.2")).world
    at_b1 = world.backends == 0

    assert flows.starts[at_b1].max() < 200 * MS
    assert world.numbers[BROKEN] == 0
    assert set((world.ended - world.served)[at_b1]) == {100 * MS}


def test_a_refused_flow_has_its_reason() -> None:
    """A limit of the configuration is the core's to keep."""
    service = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.1:80"], "max_flows": 4}
    arena = Arena(config=config_from_mapping({"services": {"s": service}}), service="s", seed=1)
    outcome = played(arena=arena)

    assert outcome.world.peaks.max() == 4
    assert set(outcome.world.backends) == {0, -SERVICE_LIMIT}


def test_a_client_has_no_two_flows_of_one_port() -> None:
    """The second is refused while the first lives."""
    flows = workload(2, clients="uniform:1")
    flows = replace(flows, ports=np.array([5000, 5000]))
    world = played(weights=[1], flows=flows).world

    assert list(world.backends) == [0, -PORT_EXHAUSTED]


def test_a_full_table_gives_up_what_nobody_has_answered() -> None:
    """As the core does; the flow's answer finds nothing any more."""
    service = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.1:80"]}
    config = {"datapath": {"max_flows": 16}, "services": {"s": service}}
    arena = Arena(config=config_from_mapping(config), service="s", seed=1)
    flows = workload(60, handshake="constant:5")
    world = played(arena=arena, flows=flows).world

    assert world.numbers[EVICTED] > 0
    assert world.numbers[ARRIVED] == 60
    assert world.peaks.max() <= 16


def test_loads_are_sampled_and_the_highest_is_known() -> None:
    """Flows every 10 ms that take 101 ms: eleven at once, with the one that has just come."""
    outcome = played(weights=[1])

    assert outcome.world.samples[-1, 0] == 10
    assert outcome.world.peaks[0] == 11
