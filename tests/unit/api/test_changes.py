"""Paths that change something: each asks the instance once, with all that was said."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.client import Client
from natlb.errors import ConfigError, UsageError


def test_a_path_that_is_none_never_reaches_the_instance(served: Any) -> None:
    """Control would ask root to open it."""
    with pytest.raises(ConfigError, match="not the absolute path"):
        Client(served.path).reload("natlb.yaml")
    assert not served.instance.calls


def test_a_change_of_nothing_is_a_mistake(served: Any) -> None:
    """It would be answered as if something had been done."""
    with pytest.raises(UsageError, match="nothing to change"):
        Client(served.path).set_backend("web", "be1")
    assert not served.instance.calls
