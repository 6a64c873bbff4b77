"""Some of these tests call kernels one by one; the others go through the engine, compiled too."""

from __future__ import annotations

import pytest

from tests.kernels import why_not_one_by_one


@pytest.fixture
def one_by_one() -> None:
    """Skip where kernels cannot be called from Python."""
    if reason := why_not_one_by_one():
        pytest.skip(reason)
