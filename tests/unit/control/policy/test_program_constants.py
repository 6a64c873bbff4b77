from __future__ import annotations

import ast
import math
import re

import pytest

from natlb.control.policy.program_constants import NoConstantError, worked_out


def value(expression: str) -> object:
    """Return what an expression is beside `A = 2 ** 62` and `pi`."""
    return worked_out(ast.parse(expression, mode="eval").body, {"A": 1 << 62, "pi": math.pi})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("-A - A + 1", 1 - (1 << 63)),
        ("1 / 4", 0.25),
        ("pi * 2", math.tau),
        ("True", True),
        ("1e308 * 10", math.inf),
    ],
)
def test_constants_are_worked_out_as_python_does(expression: str, expected: float) -> None:
    """Of the same type too."""
    assert value(expression) == expected
    assert type(value(expression)) is type(expected)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("A * A", "64 bits"),
        ("-A - A - 1", "64 bits"),
        ("99999999999999999999", "64 bits"),
        ("1 / (A - A)", "divides by 0"),
        ("1.0 / 0.0", "divides by 0"),
        ("'a' * A", "'a' is no number"),
        ("(1, 2) * A", "a constant is a number"),
        ("2 ** A", "a constant is a number"),
        ("1 << A", "a constant is a number"),
        ("B", "a constant is a number"),
        ("print(1)", "a constant is a number"),
        ("1 + 1j", "1j is no number"),
    ],
)
def test_what_is_no_constant_is_told(expression: str, said: str) -> None:
    """And nothing of it is worked out."""
    with pytest.raises(NoConstantError, match=re.escape(said)):
        value(expression)
