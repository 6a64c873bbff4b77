from __future__ import annotations

import pytest

from natlb.control.host.check import fail, ok, verdict, warn
from natlb.model import to_json


@pytest.mark.parametrize(
    ("checks", "line"),
    [
        ([], "lab ready, gateway ready"),
        ([ok("a", ""), warn("b", "")], "lab ready, gateway ready"),
        ([fail("a", "", stops=("gateway",))], "lab ready, gateway not ready (1 problem)"),
        ([fail("a", "", stops=("lab",))], "lab not ready (1 problem), gateway ready"),
        (
            [fail("a", ""), fail("b", "", stops=("gateway",))],
            "lab not ready (1 problem), gateway not ready (2 problems)",
        ),
    ],
)
def test_the_last_line_counts_what_stops_each(checks: list[object], line: str) -> None:
    """A warning stops nothing."""
    assert verdict(checks) == line  # type: ignore[arg-type]


def test_a_check_is_plain_data() -> None:
    """It is printed as JSON too."""
    assert to_json(warn("tun", "seen", "mend")) == {
        "name": "tun",
        "status": "warn",
        "seen": "seen",
        "fix": "mend",
        "stops": [],
    }
