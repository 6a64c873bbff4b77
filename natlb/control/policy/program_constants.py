"""Constants of a program, worked out here: nothing of the user's is evaluated to get them.

A constant is a 64-bit integer, a float or a bool at every step, so that a few lines cannot make
a number of gigabytes (`A = 9 * 9`, `B = A * A`, `C = B * B`, ...).
"""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Number: TypeAlias = "bool | int | float"

LARGEST = (1 << 63) - 1
MATH_NUMBERS = {name: float(getattr(math, name)) for name in ("e", "inf", "nan", "pi", "tau")}
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
NOT_ONE = "a constant is a number, or + - * / of numbers and constants above it"


class NoConstantError(Exception):
    """Where an expression is no constant, and why."""

    def __init__(self, node: ast.expr, said: str) -> None:
        """Say so."""
        super().__init__(said)
        self.node = node
        self.said = said


def worked_out(node: ast.expr, known: Mapping[str, Number]) -> Number:
    """Return the value of an expression of constants. Raises NoConstantError."""
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return _held(node, value)
        case ast.Constant(value=value):
            raise NoConstantError(node, f"{value!r:.40} is no number: a policy has numbers alone")
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.UnaryOp(op=ast.USub()):
            return _held(node, -worked_out(node.operand, known))
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            left, right = worked_out(node.left, known), worked_out(node.right, known)
            if right == 0 and isinstance(op, ast.Div):
                raise NoConstantError(node, "divides by 0")
            return _held(node, OPERATORS[type(op)](left, right))
    raise NoConstantError(node, NOT_ONE)


def _held(node: ast.expr, value: Number) -> Number:
    """Return a number that 64 bits can say."""
    if isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
        raise NoConstantError(node, "an integer has 64 bits, with its sign")
    return value
