"""Hundreds or thousands of connections that move data, and every process killed under them.

Nothing may be lost: no connection breaks, datagrams keep their backends. A pulse of datagrams,
one every few milliseconds, shows for how long nothing was forwarded.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest

from natlb.errors import NatlbError
from natlb.netlink import call_inside
from tests.netns.process_lab import BACKENDS, MARK, ROOT, VIP, ProcessLab, eventually, kill

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


class CrowdInLab:
    """The crowd's processes in a lab whose natlb runs."""

    def __init__(self, lab: ProcessLab, scale: Scale) -> None:
        """Start servers and client, and wait until all is open."""
        self._lab = lab
        self._scale = scale
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        """Open everything."""
        try:
            for name, address in BACKENDS.items():
                server = self._start(self._lab.hosts[name], "server", address, "8090", name)
                assert server.stdout is not None
                assert server.stdout.readline() == "serving\n"
            counts = (str(self._scale.connections), str(self._scale.flows), str(SECONDS))
            self.client = self._start(self._lab.client, "client", VIP, "9000", *counts)
            assert self._line() == {"open": self._scale.connections}
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, namespace: str, *words: str) -> subprocess.Popen[str]:
        process = call_inside(
            namespace,
            lambda: subprocess.Popen(
                [sys.executable, "-m", "tests.netns.crowd", *words],
                cwd=ROOT,
                env=os.environ | {MARK: self._lab.gateway},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ),
        )
        self._processes.append(process)
        return process

    def _line(self) -> Any:
        assert self.client.stdout is not None
        return json.loads(self.client.stdout.readline())

    def seen(self) -> Any:
        """Return what the client saw since it was asked last."""
        assert self.client.stdin is not None
        self.client.stdin.write("?\n")
        self.client.stdin.flush()
        return self._line()

    def whole_round(self) -> Any:
        """Return what the client saw, once each connection had its turn again."""
        echoes = 0
        failures: list[str] = []
        deadline = time.monotonic() + 60
        while echoes < self._scale.connections and not failures:
            assert time.monotonic() < deadline, "the connections do not get through a round"
            time.sleep(0.2)
            found = self.seen()
            echoes, failures = echoes + found["echoes"], failures + found["failures"]
        return {"echoes": echoes, "failures": failures}

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait(20)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()


def longest_gap(crowd: CrowdInLab, done: Callable[[], None]) -> float:
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
    with ProcessLab("m") as lab:
        lab.configure(CONFIG)
        lab.run()
        with CrowdInLab(lab, scale) as crowd:
            assert crowd.whole_round()["failures"] == []
            gaps = {
                "worker": [
                    longest_gap(crowd, lambda: kill_worker(lab)) for _ in range(scale.kills)
                ],
                "control": [
                    longest_gap(crowd, lambda: kill_control(lab)) for _ in range(scale.kills)
                ],
                "supervisor": [
                    longest_gap(crowd, lambda: kill_supervisor(lab))
                    for _ in range(scale.supervisors)
                ],
            }
            assert crowd.whole_round()["failures"] == []
            stats = lab.api.stats()
        assert stats.flows.current >= scale.connections
        assert lab.runs[-1].poll() is None
        lab.runs[-1].send_signal(signal.SIGTERM)
        assert lab.runs[-1].wait(20) == 0
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
