from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from natlb.control.config.checking import CheckShape
from natlb.control.config.shape import BackendShape


def refusal(**values: Any) -> str:
    """Return what is said of a check that cannot be."""
    with pytest.raises(ValidationError) as caught:
        CheckShape.model_validate(values)
    return str(caught.value)


def test_every_key_may_be_left_out() -> None:
    """What a type needs is asked for where its type is known."""
    assert CheckShape.model_validate({}).type == "tcp"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "ping"),
        ("rise", 0),
        ("fall", 101),
        ("rise", True),
        ("fall", "3"),
        ("port", 0),
        ("port", 65536),
        ("port", None),
        ("port", "80"),
        ("method", "POST"),
        ("record", "ANY"),
        ("verify", "yes"),
        ("ca", "relative.pem"),
        ("command", "rm -rf /"),
        ("intervall", 5),
        ("name", None),
        ("address", "10.0.0.1:80"),
        ("source", "everywhere"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(key: str, value: object) -> None:
    """Each of exactly its type and range."""
    assert key in refusal(**{key: value})


@pytest.mark.parametrize("value", [True, "tcp", 5, None, ["tcp"]])
def test_a_check_is_a_mapping_or_none(value: object) -> None:
    """`true` could mean any type."""
    with pytest.raises(ValidationError, match=r"must be a mapping like .* or none"):
        BackendShape.model_validate({"address": "10.0.0.1", "check": value})
    none = BackendShape.model_validate({"address": "10.0.0.1", "check": "none"})

    assert none.check is None
