from __future__ import annotations

import math

import numpy as np
import pytest

from natlb.core.policy import arithmetic
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

LEAST, MOST = -(1 << 63), (1 << 63) - 1
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("floor_quotient", (7, 2), 3),
        ("floor_quotient", (-7, 2), -4),
        ("floor_quotient", (7, 0), 0),
        ("floor_quotient", (7.5, 0.0), 0.0),
        ("floor_quotient", (7, -1), -7),
        ("floor_quotient", (LEAST, -1), LEAST),
        ("remainder", (7, 4), 3),
        ("remainder", (-7, 4), 1),
        ("remainder", (7, 0), 0),
        ("remainder", (7, -1), 0),
        ("remainder", (2.5, -1.0), -0.5),
        ("shifted_left", (1, 4), 16),
        ("shifted_left", (1, 63), LEAST),
        ("shifted_left", (1, 70), 64),
        ("shifted_left", (1, -62), 4),
        ("shifted_right", (16, 4), 1),
        ("shifted_right", (16, 68), 1),
        ("whole", (2.9,), 2),
        ("whole", (-2.9,), -2),
        ("whole", (NAN,), 0),
        ("whole", (INF,), 0),
        ("whole", (MOST,), MOST),
        ("whole", (True,), 1),
        ("whole", (LEAST,), LEAST),
        ("floor", (MOST,), MOST),
        ("ceiling", (MOST,), MOST),
        ("rounded", (LEAST,), LEAST),
        ("divided", (7, -2), (-4, -1)),
        ("divided", (7, 0), (0, 0)),
        ("number", (1.5,), 1.5),
        ("floor", (-0.5,), -1),
        ("floor", (1e300,), 0),
        ("ceiling", (0.5,), 1),
        ("ceiling", (NAN,), 0),
        ("rounded", (2.5,), 2),
        ("rounded", (-INF,), 0),
        ("power", (2, 10), 1024.0),
        ("power", (2, -1), 0.5),
        ("power", (0, -1), INF),
        ("power_of_floats", (2, 3), 8.0),
        ("quotient", (1, 2), 0.5),
        ("quotient", (1, 0), INF),
        ("wrapped_value", (1 << 63,), LEAST),
        ("wrapped_value", (-1,), -1),
        ("wrapped_value", (0.5,), 0.5),
    ],
)
def test_every_value_has_a_result(name: str, arguments: tuple[float, ...], expected: float) -> None:
    """Whatever a user's policy works out, it harms nothing."""
    assert getattr(arithmetic, name)(*arguments) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("total", 8), ("place_of_least", 1), ("place_of_most", 2), ("least", 1), ("most", 4)],
)
def test_arrays_are_gone_through_on_the_budget(name: str, expected: int) -> None:
    """A step for each value; of equals the first."""
    budget = np.full(1, 10)

    assert getattr(arithmetic, name)(np.array([3, 1, 4][:3]), budget) == expected
    assert budget[0] == 7


def test_a_spent_budget_ends_it() -> None:
    """The step that there is none for is not made."""
    budget = np.full(1, 1)
    arithmetic.spend(budget)

    with pytest.raises(RuntimeError):
        arithmetic.spend(budget)


def test_what_is_no_number_is_no_error() -> None:
    """`math` would raise where compiled code has nan."""
    assert math.isnan(arithmetic.quiet(np.sqrt)(-1))
    assert math.isnan(arithmetic.power_of_floats(-8, 0.5))


@pytest.mark.parametrize("value", [(1, 2), None, "text", np.zeros(2)])
def test_nothing_but_numbers_is_a_number(value: object) -> None:
    """A tuple can be added to itself until the memory is full."""
    with pytest.raises(TypeError, match="is no number"):
        arithmetic.number_value(value)
