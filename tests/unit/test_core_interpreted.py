"""Where this process compiles, one beside it calls the kernels one by one, as plain Python.

So no run of all tests goes without those that stop a kernel at every store, or make it raise.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from natlb import jit


@pytest.mark.skipif(not jit.COMPILED, reason="this process calls them itself")
@pytest.mark.parametrize("folder", ["core", "wire"])
def test_kernels_are_called_one_by_one_as_plain_python(folder: str) -> None:
    """Nothing is skipped there but what is about compiling."""
    place = Path(__file__).parent / folder
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(place)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NATLB_JIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "one by one" not in done.stdout
