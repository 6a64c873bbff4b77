from __future__ import annotations

import subprocess
import sys

import pytest

import natlb


def test_importing_natlb_loads_nothing_heavy() -> None:
    """`natlb status` starts without NumPy; the engine is loaded at its first use."""
    script = (
        "import sys, natlb; heavy = {'numpy', 'numba', 'pydantic'};"
        "assert not heavy & set(sys.modules); natlb.Engine; assert 'numpy' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_package_offers_what_the_contract_names() -> None:
    """And nothing under another name."""
    for name in natlb.__all__:
        assert getattr(natlb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Enigne'"):
        natlb.Enigne  # noqa: B018 # the asking is the test
