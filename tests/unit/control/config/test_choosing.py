from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from natlb.control.config.choosing import AffinityShape, PolicyShape, SlowStartShape
from natlb.control.config.shape import BackendShape, ServiceShape
from natlb.control.config.values import Affinity, PolicyName

WEB = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.11:8080"]}


def service(**more: Any) -> ServiceShape:
    """Return a service that says this as well."""
    return ServiceShape.model_validate({**WEB, **more})


def refusal(model: Any, **values: Any) -> str:
    """Return what is said of values that do not fit."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return str(caught.value)


@pytest.mark.parametrize("name", get_args(PolicyName))
def test_every_policy_can_be_named_and_shadowed(name: str) -> None:
    """By its name, or in a mapping."""
    short, long = service(policy=name, shadow=name), service(policy={"name": name})

    assert short.policy == long.policy == short.shadow
    assert long.shadow is None


def test_affinity_has_the_defaults_of_the_values() -> None:
    """An empty mapping is affinity, and nothing is none."""
    given = service(affinity={}).affinity

    assert given is not None
    assert given.model_dump() == asdict(Affinity())
    assert service().affinity is service(affinity="none").affinity is None


@pytest.mark.parametrize(("key", "most"), [("prefix", 32), ("prefix6", 128)])
def test_a_prefix_is_of_the_address(key: str, most: int) -> None:
    """All bits of it at most, none at least."""
    for value in (0, most):
        assert getattr(AffinityShape.model_validate({key: value}), key) == value
    for value in (-1, most + 1):
        assert f"{value} is not in 0..{most}" in refusal(AffinityShape, **{key: value})
    assert "valid integer" in refusal(AffinityShape, **{key: True})


def test_affinity_lasts_as_long_as_its_table_can_count() -> None:
    """Milliseconds in 32 bits, as every timeout."""
    assert AffinityShape.model_validate({"timeout": "24d"}).timeout == 24 * 86400
    assert "more than 24 days" in refusal(AffinityShape, timeout="25d")
    assert "must be longer than 0" in refusal(AffinityShape, timeout=0)


def test_affinity_is_no_switch() -> None:
    """`true` could mean any prefix."""
    for value in (True, 24, "yes", None):
        assert "must be a mapping like {prefix: 24} or none" in refusal(
            ServiceShape, **WEB, affinity=value
        )


@pytest.mark.parametrize(
    ("written", "seconds", "exponent"),
    [
        (30, 30.0, 1.0),
        ("2m", 120.0, 1.0),
        ({"seconds": 0.5}, 0.5, 1.0),
        ({"seconds": "30s", "exponent": 2}, 30.0, 2.0),
        ({"seconds": "24d", "exponent": 0.1}, 24 * 86400.0, 0.1),
    ],
)
def test_slow_start_is_a_time_or_a_mapping(
    written: object, seconds: float, exponent: float
) -> None:
    """The short form is the one of most."""
    given = service(slow_start=written).slow_start

    assert given == SlowStartShape(seconds=seconds, exponent=exponent)


def test_no_slow_start_is_none_and_not_0() -> None:
    """A time of 0 could as well be a mistake in its unit."""
    assert service().slow_start is service(slow_start="none").slow_start is None
    for value in (0, 0.0, {"seconds": 0}):
        text = refusal(ServiceShape, **WEB, slow_start=value)

        assert "must be longer than 0; `none` is no slow start" in text


@pytest.mark.parametrize("value", [-1, "0s", True, False, "25d", float("nan"), [30], None, "soon"])
def test_what_is_no_time_is_no_slow_start(value: object) -> None:
    """Nor is one in the mapping."""
    for written in (value, {"seconds": value}):
        assert refusal(ServiceShape, **WEB, slow_start=written)


@pytest.mark.parametrize("value", [0, 0.09, 10.1, -1, True, "1", None, float("nan"), 10**400])
def test_an_exponent_has_both_ends(value: object) -> None:
    """Beyond them a slow start is none."""
    assert refusal(SlowStartShape, seconds=1, exponent=value)


@pytest.mark.parametrize("value", [0, 0.5, 1, 1.0])
def test_a_share_of_the_pool_makes_panic(value: float) -> None:
    """From never to whenever anyone is down."""
    assert service(panic_threshold=value).panic_threshold == value


@pytest.mark.parametrize("value", [50, 1.01, -0.1, True, "0.5", None, float("nan"), 10**400])
def test_what_is_no_share_is_refused(value: object) -> None:
    """50 is not 50 %."""
    assert refusal(ServiceShape, **WEB, panic_threshold=value)


@pytest.mark.parametrize("value", [1.01, 2, 10.0])
def test_a_bound_is_above_the_share(value: float) -> None:
    """At the share itself each flow but the last would find some backend full."""
    assert PolicyShape.model_validate({"name": "bounded-load", "factor": value}).factor == value


@pytest.mark.parametrize("value", [1, 0.5, 10.01, True, "2", None, float("inf"), float("nan")])
def test_what_is_no_bound_is_refused(value: object) -> None:
    """A factor is a number."""
    assert "factor" in refusal(PolicyShape, name="bounded-load", factor=value)


@pytest.mark.parametrize("key", ["size", "slots", "key", "base", "file", "function", "factor"])
def test_a_parameter_without_a_value_is_not_left_out(key: str) -> None:
    """`size:` with nothing after it is a mistake."""
    assert key in refusal(PolicyShape, name="maglev", **{key: None})


@pytest.mark.parametrize("value", ["1st", "def", "a.b", "", 5, "a b"])
def test_a_function_has_a_name_of_python(value: object) -> None:
    """Else there is none of it in any file."""
    assert "cannot be a function's name" in refusal(PolicyShape, name="python", function=value)


@pytest.mark.parametrize("value", ["", "a\nb", "x" * 5000, 5, ["a.py"]])
def test_a_file_has_a_path(value: object) -> None:
    """It may be relative."""
    assert PolicyShape.model_validate({"name": "python", "file": "../x.py"}).file == "../x.py"
    assert "path" in refusal(PolicyShape, name="python", file=value)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("weight", -1, "-1 is not in 0..65535"),
        ("weight", 65536, "65536 is not in 0..65535"),
        ("weight", 1.0, "valid integer"),
        ("weight", True, "valid integer"),
        ("weight", "1", "valid integer"),
        ("max_flows", 0, "0 is not in 1..16777215"),
        ("max_flows", True, "must be a whole number or none"),
        ("max_flows", None, "must be a whole number or none"),
        ("backup", 1, "valid boolean"),
        ("backup", "yes", "valid boolean"),
    ],
)
def test_a_backend_is_weighed_in_whole_numbers(key: str, value: object, sentence: str) -> None:
    """Each of exactly its type."""
    assert sentence in refusal(BackendShape, address="10.0.0.1", **{key: value})


def test_a_backend_weighs_1_and_has_no_limit() -> None:
    """Unless told; weight 0 takes nothing new."""
    plain = service().backends[0]
    told = {"address": "10.0.0.1", "weight": 0, "max_flows": 7, "backup": True}
    given = BackendShape.model_validate(told)

    assert (plain.weight, plain.max_flows, plain.backup) == (1, None, False)
    assert (given.weight, given.max_flows, given.backup) == (0, 7, True)


def test_all_of_a_pool_may_weigh_nothing_or_be_backups() -> None:
    """Then nobody serves, or all of them do."""
    pool = [{"address": f"10.0.0.{n}", "weight": 0, "backup": True} for n in (1, 2)]

    assert len(service(backends=pool).backends) == 2
