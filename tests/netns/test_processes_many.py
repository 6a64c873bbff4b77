"""Hundreds or thousands of connections that move data, and every process killed under them.

Nothing may be lost: no connection breaks, datagrams keep their backends. A pulse of datagrams,
one every few milliseconds, shows for how long nothing was forwarded.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
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


def survive(scale: Scale) -> dict[str, list[float]]:
    """Kill everything in turn under a crowd, and return the gaps that this made."""
    with CrowdLab("m") as lab:
        lab.configure(CONFIG)
        lab.run()
        lab.start_servers()
        crowd = Crowd(lab, scale.connections, scale.flows, SECONDS)
        assert crowd.talk() == []
        gaps = {
            "worker": [longest_gap(crowd, lambda: kill_worker(lab)) for _ in range(scale.kills)],
            "control": [longest_gap(crowd, lambda: kill_control(lab)) for _ in range(scale.kills)],
            "supervisor": [
                longest_gap(crowd, lambda: kill_supervisor(lab)) for _ in range(scale.supervisors)
            ],
        }
        assert crowd.talk() == []
        assert lab.api.stats().flows.current >= scale.connections
        assert lab.stop(lab.runs[-1]) == 0
    return gaps


def test_no_connection_breaks_whoever_dies() -> None:
    """In short; how long it pauses is for the long one to say."""
    survive(SHORT)


@pytest.mark.soak
def test_three_thousand_connections_survive_every_kind_of_death() -> None:
    """And forwarding pauses for at most 0.3 s (worker, control) and 1 s (supervisor)."""
    gaps = survive(LONG)
    for name, found in gaps.items():
        median, longest = sorted(found)[len(found) // 2], max(found)
        sys.stdout.write(f"{name}: median {median:.3f} s, longest {longest:.3f} s\n")

    assert max(gaps["worker"]) <= 0.3
    assert max(gaps["control"]) <= 0.3
    assert max(gaps["supervisor"]) <= 1.0
