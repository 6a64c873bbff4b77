from __future__ import annotations

import ast
import math

import numpy as np
import pytest

from natlb.control.policy.program_form import HELP, bounded
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def shaped(text: str, *, interpreted: bool = False) -> str:
    """Return a text in the form that is compiled."""
    return ast.unparse(bounded(ast.parse(text), interpreted=interpreted))


def result(expression: str, *, interpreted: bool = True, steps: int = 100) -> float:
    """Return what an expression of x = 7, y = -2, z = 0 is, or a loop."""
    text = f"def f(a):\n    return a[0]\ndef pick(x, y, z, a):\n    return {expression}\n"
    space = dict(HELP)
    exec(compile(bounded(ast.parse(text), interpreted=interpreted), "x", "exec"), space)
    answer: float = space["pick"](7, -2, 0, np.array([3.0, 1.0]), np.full(1, steps))
    return answer


def test_every_function_and_loop_takes_a_step() -> None:
    """Of one budget, which calls hand on."""
    text = (
        "from __future__ import annotations\nimport math\nX = 1 + 1\n"
        "def f(a: int) -> int:\n    return a\n"
        "def pick(pool, flow):\n"
        "    for at in range(f(3)):\n        x: int = at\n    else:\n        x = 1\n"
        "    while f(1):\n        x += f(2)\n    return x\n"
    )

    assert shaped(text) == (
        "X = 2\n\n"
        "def f(a, __budget):\n    __spend(__budget)\n    return a\n\n"
        "def pick(pool, flow, __budget):\n    __spend(__budget)\n"
        "    for at in range(f(3, __budget)):\n        __spend(__budget)\n        x = at\n"
        "    else:\n        x = 1\n"
        "    while f(1, __budget):\n        __spend(__budget)\n"
        "        x = __number(x) + __number(f(2, __budget))\n"
        "    return x"
    )


def test_lines_stay() -> None:
    """What goes wrong is told by the user's own."""
    text = "def pick(pool, flow):\n\n    x = 1\n    x //= flow.port\n\n    return x\n"
    tree = bounded(ast.parse(text), interpreted=True)
    lines = {node.lineno for node in ast.walk(tree) if hasattr(node, "lineno")}

    assert lines == {1, 3, 4, 6}


@pytest.mark.parametrize("interpreted", [False, True])
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x // z + x % z + x // y + x % y", -4 - 1),
        ("x ** 2", 49.0),
        ("(1 << 66) + (x >> 65)", 4 + 3),
        ("int(2.5) + round(2.5) + math.floor(-0.5) + math.ceil(0.5) + math.trunc(1.5)", 5),
        ("divmod(x, 2)[0] + divmod(x, 2)[1]", 4),
        ("a.sum() + a.min() + a.max() + a.argmin() + a.argmax()", 9.0),
        ("abs(y) + max(x, y) + min(x, 3) + len(a) - -x", 21),
        ("math.sqrt(4.0) + math.pi - math.pi + f(a)", 5.0),
        ("x / 2 + x * 2 - 1", 16.5),
    ],
)
def test_operations_mean_what_python_means(
    expression: str, expected: float, interpreted: bool
) -> None:
    """Where Python has a meaning for them."""
    assert result(expression, interpreted=interpreted) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x / z", math.inf),
        ("(1 << 62) * 4 + (1 << 62) + (1 << 62)", -(1 << 63)),
        ("math.log(0.0)", -math.inf),
        ("-(-(1 << 63))", -(1 << 63)),
    ],
)
def test_interpreted_it_says_what_compiled_code_does(expression: str, expected: float) -> None:
    """Where Python would raise, or go on for ever."""
    assert result(expression) == expected


def test_what_is_imported_from_math_is_found_without_an_import() -> None:
    """Numbers as constants, functions as those of `math`."""
    text = "from math import floor, pi, sqrt\nTWICE = pi * 2\ndef pick(a):\n    return sqrt(a)\n"

    assert shaped(text).splitlines()[:2] == [f"pi = {math.pi}", f"TWICE = {math.tau}"]
    assert "return math.sqrt(a)" in shaped(text)
    assert "return __math_sqrt(a)" in shaped(text, interpreted=True)


def test_divmod_evaluates_its_arguments_once() -> None:
    """Else a few of them, one in the other, would make a tree that fills the memory."""
    nested = "x"
    for _ in range(40):
        nested = f"divmod({nested}, 3)[0]"

    assert shaped(f"def pick(x):\n    return {nested}\n").count("__divided") == 40


@pytest.mark.parametrize("target", ["a[x // z]", "a[x % z]"])
def test_what_is_assigned_to_is_in_this_form_too(target: str) -> None:
    """An index outside may be worked out by a division by 0."""
    text = f"def pick(a, x, z):\n    {target}: float = 1.0\n"

    assert "a[__" in shaped(text)


@pytest.mark.parametrize(
    "expression", ["(1, 2) + (3,)", "(1, 2) * 2", "2 * (x, y)", "((1, 2), 3)", "(a, 1)"]
)
def test_only_numbers_grow(expression: str) -> None:
    """A tuple added to itself again and again would be as large as the memory is."""
    with pytest.raises(TypeError, match="is no number"):
        result(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("9223372036854775807 + 9223372036854775807", "-2"),
        ("9223372036854775807 * 4", "-4"),
        ("-9223372036854775807 - 2", "9223372036854775807"),
        ("0.5 + 1", "0.5 + 1"),
    ],
)
def test_integers_of_the_text_have_64_bits_too(expression: str, expected: str) -> None:
    """Python would fold them into one that has more, which no machine code has."""
    assert shaped(f"def pick():\n    return {expression}\n").endswith(f"return {expected}")


def test_the_budget_ends_it() -> None:
    """Also within what goes through an array."""
    with pytest.raises(RuntimeError):
        result("a.sum()", steps=2)
