from __future__ import annotations

import subprocess
import sys

import natlb.control.config


def test_every_name_that_is_promised_is_there() -> None:
    """The package is what others import from."""
    assert all(hasattr(natlb.control.config, name) for name in natlb.control.config.__all__)


def test_reading_a_configuration_loads_neither_compiler_nor_api() -> None:
    """`natlb validate` answers at once; the schema is made only where it is asked for."""
    code = "import sys, natlb.control.config; print(*sys.modules)"
    words = [sys.executable, "-c", code]
    loaded = subprocess.run(words, capture_output=True, check=True, text=True, timeout=60).stdout

    heavy = {"numba", "numpy", "fastapi", "pyroute2", "asyncio", "natlb.control.config.schema"}
    assert not heavy & set(loaded.split())
