"""Every process of natlb killed at once, and a service manager that holds the fds: flows go on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.netlink import call_inside
from tests.netns.process_lab import MARK, READY_SECONDS, ROOT, ProcessLab, eventually, kill_marked
from tests.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def manager() -> Iterator[ServiceManager]:
    """Return a service manager, at a path: abstract names end with a network namespace."""
    with (
        tempfile.TemporaryDirectory(prefix="natlb-") as folder,
        ServiceManager(Path(folder, "notify")) as made,
    ):
        yield made


def start_service(lab: ProcessLab, manager: ServiceManager) -> None:
    """Start natlb as a service with all that is stored, and wait until it says that it is ready."""
    before = manager.hear().said.count("READY=1")
    command = [sys.executable, "-m", "natlb", "run", "-c", str(lab.config)]
    with lab.output.open("ab") as output:
        run = call_inside(
            lab.gateway,
            lambda: manager.start(
                command,
                os.environ | {MARK: lab.gateway},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ),
        )
    lab.runs.append(run)
    manager.wait_for(
        lambda m: m.said.count("READY=1") > before or run.poll() is not None, READY_SECONDS
    )
    assert run.poll() is None, lab.output.read_text()


def test_connections_outlive_every_process(manager: ServiceManager) -> None:
    """And the next natlb serves new ones, with what was drained still drained."""
    with ProcessLab("fd") as lab:
        start_service(lab, manager)
        calls = [lab.call() for _ in range(4)]
        lab.api.set_backend("web", "b2", state="draining")
        manager.wait_for(lambda m: any("TABLES" in name or "-6-" in name for name in m.store))
        pids = lab.pids()
        kill_marked(lab.gateway)
        lab.runs[-1].wait(20)
        start_service(lab, manager)
        eventually(lambda: lab.api.status().ready, 30)

        assert [call.echo() for call in calls] == [b"hello\n"] * 4
        assert {lab.call().backend for _ in range(3)} == {"b1"}
        assert set(lab.pids()).isdisjoint(pids)
        assert len(lab.api.flows()) == 7
