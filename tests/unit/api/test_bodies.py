"""What bodies may hold."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from natlb.api.bodies import MAX_WEIGHT, BackendAddition, BackendChange, FlushRequest


def test_what_is_left_out_stays() -> None:
    """Nothing is assumed."""
    assert BackendChange().model_dump() == {"state": None, "weight": None}
    assert BackendAddition(address="10.77.0.14").weight is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (BackendChange, {"weight": MAX_WEIGHT + 1}),
        (BackendChange, {"weight": "1"}),
        (BackendChange, {"weight": True}),
        (BackendChange, {"state": "gone"}),
        (BackendChange, {"wieght": 1}),
        (BackendAddition, {}),
        (BackendAddition, {"address": 5}),
        (FlushRequest, {"reset": 1}),
    ],
)
def test_what_is_not_meant_is_refused(kind: type, said: dict) -> None:
    """A number in quotes is no number."""
    with pytest.raises(ValidationError):
        kind(**said)
