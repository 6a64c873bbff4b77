"""Hundreds or thousands of connections that move data, and every process killed under them.

Nothing may be lost: no connection breaks, datagrams keep their backends. A pulse of datagrams,
one every few milliseconds, shows for how long nothing was forwarded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import pytest

from natlb.errors import NatlbError
from tests.netns.crowd_lab import Crowd, CrowdLab
from tests.netns.process_lab import ProcessLab, eventually, kill

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.netns

SECONDS = 600
CONFIG = """
services:
  many:
    listen: [tcp://203.0.113.10:9000, udp://203.0.113.10:9000]
    backends: [{name: b1, address: "10.77.0.11:8090"}, {name: b2, address: "10.77.0.12:8090"}]
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much, and how often."""

    connections: int
    flows: int
    kills: int
    supervisors: int


SHORT = Scale(connections=200, flows=20, kills=2, supervisors=1)
LONG = Scale(connections=3000, flows=300, kills=20, supervisors=5)


MOST = {  # seconds for which nothing is forwarded
    "worker": 0.3,
    "control": 0.3,
    "keeper": 0.3,
    "worker stopped": 3.0,
    "supervisor": 1.0,
    "supervisor and control": 1.0,
    "upgrade": 1.0,
}


def longest_gap(crowd: Crowd, done: Callable[[], None]) -> float:
    """Return for how long nothing was forwarded while this was done, in seconds."""
    crowd.seen()
    done()
    found = crowd.seen()
    assert found["failures"] == []
    gap: float = found["longest_gap"]
    return gap


def kill_worker(lab: ProcessLab) -> None:
    """Kill the worker, and wait for the next."""
    _, _, worker = lab.pids()
    kill(worker)
    lab.wait_for_new_worker(worker)


def kill_control(lab: ProcessLab) -> None:
    """Kill control, and wait for the next."""
    _, control, _ = lab.pids()
    kill(control)

    def another() -> bool:
        with contextlib.suppress(NatlbError):
            return lab.pids()[1] != control
        return False

    eventually(another, 30)


def kill_supervisor(lab: ProcessLab) -> None:
    """Kill the supervisor, and have the next run adopt."""
    kill(lab.pids()[0])
    lab.run()


def kill_keeper(lab: ProcessLab) -> None:
    """Kill the keeper, and wait for the next."""
    keeper = lab.keeper()
    kill(keeper)

    def another() -> bool:
        with contextlib.suppress(LookupError, OSError):
            return lab.keeper() != keeper
        return False

    eventually(another, 30)


def kill_supervisor_and_control(lab: ProcessLab) -> None:
    """Kill both at once; the next run gets everything from the keeper."""
    supervisor, control, _ = lab.pids()
    kill(supervisor)
    kill(control)
    lab.run()


def stop_worker(lab: ProcessLab) -> None:
    """Stop the worker, as an endless loop does, and wait for the next."""
    _, _, worker = lab.pids()
    os.kill(worker, signal.SIGSTOP)
    lab.wait_for_new_worker(worker)


def upgrade(lab: ProcessLab) -> None:
    """Have another version's code take over, and wait until it has replaced every process."""
    before, old = {*lab.pids(), lab.keeper()}, lab.runs[-1]
    lab.run("--replace", prefix=lab.next_version())
    assert old.wait(60) == 0

    def replaced() -> bool:
        with contextlib.suppress(NatlbError, LookupError, IndexError, OSError):
            return not before & {*lab.pids(), lab.keeper()}
        return False

    eventually(replaced, 120)
    lab.wait_for_new_worker(0)


def survive(scale: Scale) -> dict[str, list[float]]:
    """Kill everything in turn under a crowd, and return the gaps that this made."""
    ways: dict[str, tuple[int, Callable[[ProcessLab], None]]] = {
        "worker": (scale.kills, kill_worker),
        "control": (scale.kills, kill_control),
        "keeper": (scale.supervisors, kill_keeper),
        "worker stopped": (scale.supervisors, stop_worker),
        "supervisor": (scale.supervisors, kill_supervisor),
        "supervisor and control": (scale.supervisors, kill_supervisor_and_control),
        "upgrade": (1, upgrade),
    }
    with CrowdLab("m") as lab:
        lab.configure(CONFIG)
        lab.run()
        lab.start_servers()
        crowd = Crowd(lab, scale.connections, scale.flows, SECONDS)
        assert crowd.talk() == []
        gaps = {
            name: [longest_gap(crowd, partial(strike, lab)) for _ in range(count)]
            for name, (count, strike) in ways.items()
        }
        assert lab.said("worker_hung") == scale.supervisors
        assert crowd.talk() == []
        assert lab.api.stats().flows.current >= scale.connections
        assert lab.stop(lab.runs[-1]) == 0
    return gaps


def test_no_connection_breaks_whoever_dies() -> None:
    """In short; how long it pauses is for the long one to say."""
    survive(SHORT)


@pytest.mark.soak
def test_three_thousand_connections_survive_every_kind_of_death() -> None:
    """And forwarding pauses no longer than each kind of death may take."""
    gaps = survive(LONG)
    for name, found in gaps.items():
        middle, longest = median(found), max(found)
        sys.stdout.write(f"{name}: median {middle:.3f} s, longest {longest:.3f} s\n")

    too_long = {name: max(found) for name, found in gaps.items() if max(found) > MOST[name]}
    assert too_long == {}
