"""What health checks cost: a thousand backends asked by TCP every second, by one process.

The backends are one listening socket of a process of their own, on loopback; each check connects
and is reset, as over any network. What is measured is the time of this process on a processor,
the kernel's for it included, and what its scheduler, hysteresis and history take.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from bench.results import OURS, Aim, Measure
from natlb.control.config.values import CheckConfig
from natlb.control.health.hysteresis import Hysteresis
from natlb.control.health.probe import Target, probe
from natlb.control.health.schedule import Job, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.results import Session
    from natlb.control.health.probe import Result

PART = "checks"
BACKENDS = 1000
INTERVAL = 1.0
LEAST_SECONDS = 5.0
AIM = Aim(at_most=0.5)
NOTE = (
    f"checks: {BACKENDS} backends by TCP on loopback every {INTERVAL:g} s; processor time of the"
    " checking process, kernel included, as a share of one core"
)


class Counted:
    """Takes results as control does, and counts them."""

    def __init__(self) -> None:
        """Know nothing."""
        self.good = self.bad = self.vain = 0
        self._health: dict[tuple[str, str], Hysteresis] = {}

    def checked(self, job: Job, result: Result) -> None:
        """Feed a result."""
        check = job.check
        known = self._health.setdefault(job.key, Hysteresis(rise=check.rise, fall=check.fall))
        known.feed(ok=result.status == "up")
        self.good += result.status == "up"
        self.bad += result.status == "down"

    def in_vain(self, job: Job, result: Result | None) -> None:  # noqa: ARG002 - it is counted
        """Count what says nothing."""
        self.vain += 1


def run(session: Session) -> Iterator[Measure]:
    """Measure the share of a core."""
    session.notes.append(NOTE)
    seconds = max(LEAST_SECONDS, session.settings.seconds)
    session.say(f"checking {BACKENDS} backends for {seconds:g} s")
    shares = []
    for _ in range(session.settings.repetitions):
        share, counted = once(seconds)
        told = f"{counted.good} good, {counted.bad} bad, {counted.vain} in vain"
        session.say(f"{share:.3f} of a core: {told}")
        shares.append(share)
    name = f"{BACKENDS} backends by tcp every {INTERVAL:g} s"
    yield Measure(part=PART, name=name, unit="cores", figures={OURS: tuple(shares)}, aim=AIM)


def once(seconds: float) -> tuple[float, Counted]:
    """Return the share of a core that checks take, and what they found."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        port = listening.getsockname()[1]
        child = os.fork()
        if child == 0:
            accept_for_ever(listening)
        try:
            return asyncio.run(check_for(seconds, port))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def accept_for_ever(listening: socket.socket) -> None:
    """Be the backends."""
    while True:
        listening.accept()[0].close()


async def check_for(seconds: float, port: int) -> tuple[float, Counted]:
    """Check for so long after a second of running in."""
    counted = Counted()
    schedule = Schedule(probe, counted)
    check = CheckConfig(interval=INTERVAL, timeout=1.0)
    target = Target(service="web", backend="b", address=ip_address("127.0.0.1"), port=port)
    keys = [("web", f"b{number}") for number in range(BACKENDS)]
    schedule.follow({key: Job(key, check, target) for key in keys})
    await asyncio.sleep(INTERVAL)
    began, busy = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - busy) / (time.monotonic() - began)
    await schedule.stop()
    return share, counted
