"""These tests call kernels one by one."""

from __future__ import annotations

import pytest

from tests.kernels import why_not_one_by_one


@pytest.fixture(autouse=True)
def one_by_one() -> None:
    """Skip where kernels cannot be called from Python."""
    if reason := why_not_one_by_one():
        pytest.skip(reason)
