from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from natlb.control.compile import AS_CONFIGURED, RunTime
from natlb.control.config.values import BackendConfig
from natlb.errors import UsageError

BACKEND = BackendConfig(
    name="b1", address=ip_address("10.9.0.11"), port=80, written="10.9.0.11:80", weight=3
)


def test_weights_in_force() -> None:
    """What was set at run time goes before the file."""
    assert AS_CONFIGURED.weight_of(BACKEND) == 3
    assert RunTime(weight=5).weight_of(BACKEND) == 5
    assert RunTime(weight=5, state="maint").weight_of(BACKEND) == 5


@pytest.mark.parametrize("weight", [1.5, 1.0, True, False, "1", float("nan")])
def test_a_weight_is_a_whole_number(weight: Any) -> None:
    """A caller of the engine may give anything."""
    with pytest.raises(UsageError, match="is no whole number"):
        RunTime(weight=weight)


@pytest.mark.parametrize(
    "wrong", [{"weight": -1}, {"weight": 65536}, {"state": "x"}, {"health": "x"}]
)
def test_what_is_no_run_time_is_refused(wrong: dict[str, Any]) -> None:
    """It would be in the registry for good."""
    with pytest.raises(UsageError, match=r"is not in 0\.\.65535|is none of"):
        RunTime(**wrong)
