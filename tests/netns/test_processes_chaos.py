"""Whoever dies, whenever, in whatever order: connections go on, and the end is clean."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from natlb.errors import NatlbError
from tests.netns.process_lab import Load, ProcessLab, kill, status_field

pytestmark = pytest.mark.netns

KINDS = ("worker", "control", "nursery", "supervisor", "worker and control", "drain", "ready")


def strike(lab: ProcessLab, kind: str) -> None:
    """Do this to natlb as it is at the moment; what it is in no state to suffer is left out."""
    pid = lab.api.status().pid
    worker = pid.workers[0] if pid.workers else 0
    if "control" in kind:
        kill(pid.control)
    if "worker" in kind and worker:
        kill(worker)
    if kind == "nursery" and worker and (nursery := int(status_field(worker, "PPid"))) != 1:
        kill(nursery)
    if kind == "supervisor":
        kill(pid.supervisor)
        lab.run()
    if kind in {"drain", "ready"}:
        state = "draining" if kind == "drain" else "ready"
        lab.api.set_backend("web", "b1", state=state)  # type: ignore[arg-type]


def survive(strikes: int, seed: int) -> None:
    """Strike again and again under load; every connection must live through all of it."""
    chance = random.Random(seed)
    with ProcessLab("x") as lab:
        before = lab.network()
        lab.run()
        load = Load(lab, 6)
        try:
            for _ in range(strikes):
                time.sleep(chance.random() / 2)
                # Control may be on its way back, a pid gone that was just read: it is struck again.
                with contextlib.suppress(NatlbError, ProcessLookupError, FileNotFoundError):
                    strike(lab, chance.choice(KINDS))
                if load.failures:
                    break
            load.go_on()
        finally:
            load.stop()

        assert load.failures == [], lab.output.read_text()
        assert lab.stop(lab.runs[-1]) == 0
        assert lab.network() == before


def test_connections_survive_a_dozen_deaths() -> None:
    """Of every kind of process, drawn by chance."""
    survive(strikes=12, seed=11)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_connections_survive_hundreds_of_deaths(seed: int) -> None:
    """The windows between two deaths are short; it takes many to hit one."""
    survive(strikes=150, seed=seed)
