"""`natlb bench` as it is, with the smallest of its loads: it measures, and leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from natlb.lab.process import stop
from natlb.netlink import namespaces

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

NATLB = (sys.executable, "-m", "natlb.cli", "bench")
WAIT_SECONDS = 60.0
INTERPRETED = {**os.environ, "NATLB_JIT": "0"}  # what is asked here is no speed


def labs(pid: int) -> set[str]:
    """Return the namespaces of a run."""
    return {name for name in namespaces() if name.startswith(f"bench{pid}-")}


def wait_until_gone(pid: int) -> None:
    """Return once no namespace of a run is left."""
    deadline = time.monotonic() + WAIT_SECONDS
    while labs(pid):
        assert time.monotonic() < deadline, f"left: {labs(pid)}"
        time.sleep(0.05)


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is what asks: apt-get install wrk")
def test_it_measures_and_leaves_nothing(tmp_path: Path) -> None:
    """natlb, the kernel's DNAT where there is nft, and nobody; a second one is refused."""
    words = ["--quick", "--columns", "none,nft,tun-route", "--loads", "http-kept", "--json"]
    command = [*NATLB, *words, "--output", str(tmp_path)]
    with subprocess.Popen(
        command, env=INTERPRETED, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr is not None
        first.stderr.readline()  # it has the lock by then
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        out, err = first.communicate(timeout=WAIT_SECONDS * 2)

    assert first.returncode == 0, err
    assert second.returncode == 75
    assert f"another run measures already, pid {first.pid}" in second.stderr
    told = json.loads(out)
    rate = next(each for each in told["measures"] if each["key"] == "http-kept")
    assert rate["figures"].keys() >= {"none", "tun-route"}, told["left_out"]
    assert min(min(each) for each in rate["figures"].values()) > 0
    assert {path.suffix for path in tmp_path.iterdir()} >= {".json", ".md"}
    assert not labs(first.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted it cleans up itself; killed, its warden does."""
    words = ["--columns", "none", "--loads", "http-kept", "--seconds", "30"]
    command = [*NATLB, *words, "--output", str(tmp_path)]
    with subprocess.Popen(
        command, env=INTERPRETED, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stderr is not None
            while "round 1" not in (line := run.stderr.readline()):
                assert line, "it ended before it began"
            assert labs(run.pid)
            run.send_signal(number)
            run.communicate(timeout=WAIT_SECONDS)
        finally:
            if run.poll() is None:
                stop([run.pid], grace=WAIT_SECONDS)
    wait_until_gone(run.pid)

    assert run.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
