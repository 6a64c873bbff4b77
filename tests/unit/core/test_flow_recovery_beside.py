"""Where kernels are compiled, they are stopped at every store in a process beside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from natlb import jit


@pytest.mark.skipif(not jit.COMPILED, reason="this process does it itself: test_flow_recovery.py")
def test_kernels_are_stopped_at_every_store_by_an_interpreted_process() -> None:
    """So that no run of all tests goes without."""
    file = Path(__file__).with_name("test_flow_recovery.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "NATLB_JIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
