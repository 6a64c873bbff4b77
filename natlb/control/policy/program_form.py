"""A checked program in the form that is compiled: every loop and call on a budget.

    def pick(pool, flow):              def pick(pool, flow, __budget):
                                           __spend(__budget)
        while True:                        while True:
                                               __spend(__budget)
            at = other(pool) // 0                  at = __floor_quotient(other(pool, __budget), 0)

Constants and imports of `math` become plain numbers, so defining the functions evaluates nothing.
Operations that are undefined for some values become those of `core.policy.arithmetic`;
interpreted, all of them do, so that they say what compiled code does. Lines stay as they are.
"""

from __future__ import annotations

import ast
import builtins
import copy
import math
from typing import Any, TypeVar

import numpy as np

from natlb.control.policy.program_constants import MATH_NUMBERS, Number, worked_out
from natlb.control.policy.program_rules import BUILTINS, MATH
from natlb.core.policy import arithmetic

Node = TypeVar("Node", bound=ast.AST)

BUDGET = "__budget"
OPERATORS: dict[type[ast.operator], str] = {
    ast.FloorDiv: "floor_quotient",
    ast.Mod: "remainder",
    ast.Pow: "power",
    ast.LShift: "shifted_left",
    ast.RShift: "shifted_right",
}
CALLS = {"int": "whole", "round": "rounded", "floor": "floor", "ceil": "ceiling", "trunc": "whole"}
METHODS = {
    "sum": "total",
    "min": "least",
    "max": "most",
    "argmin": "place_of_least",
    "argmax": "place_of_most",
}
WRAPPED = (ast.Add, ast.Sub, ast.Mult)
FLOAT_NAMES = (
    *("copysign", "cos", "exp", "expm1", "fabs", "hypot", "log", "log10", "log1p", "log2"),
    *("sin", "sqrt", "tan"),
)
FLOAT_CALLS = {
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "pow": np.power,
    **{name: getattr(np, name) for name in FLOAT_NAMES},
}
HELP: dict[str, Any] = {
    "__name__": "program",
    "__builtins__": {name: getattr(builtins, name) for name in sorted(BUILTINS)},
    "math": math,
    **{f"__{name}": getattr(arithmetic, name) for name in (*OPERATORS.values(), *METHODS.values())},
    **{f"__{name}": getattr(arithmetic, name) for name in CALLS.values()},
    **{f"__{name}": getattr(arithmetic, name) for name in ("spend", "divided", "number")},
    **{f"__{name}": getattr(arithmetic, name) for name in ("quotient", "wrapped_value")},
    **{f"__math_{name}": arithmetic.quiet(call) for name, call in FLOAT_CALLS.items()},
}
"""What such a program finds beside its own names."""


def bounded(tree: ast.Module, *, interpreted: bool) -> ast.Module:
    """Return a checked file's functions and constants in this form; `tree` is not used again."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    form = _Form(functions, interpreted=interpreted)
    known: dict[str, Number] = {}
    body: list[ast.stmt] = []
    for node in tree.body:
        match node:
            case ast.FunctionDef():
                body.append(form.visit(node))
            case ast.ImportFrom(module="math"):
                names = {alias.name for alias in node.names} & MATH_NUMBERS.keys()
                known |= {name: MATH_NUMBERS[name] for name in names}
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                known[name] = worked_out(value, known)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                known[name] = worked_out(value, known)
    numbers = [
        ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=ast.Constant(value=number))
        for name, number in known.items()
    ]
    return ast.fix_missing_locations(ast.Module(body=[*numbers, *body], type_ignores=[]))


class _Form(ast.NodeTransformer):
    """Changes a tree in place."""

    def __init__(self, functions: set[str], *, interpreted: bool) -> None:
        self._functions = functions
        self._interpreted = interpreted

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        parameters = [_at(each, ast.arg(arg=each.arg)) for each in node.args.args]
        budget = _at(node, ast.arg(arg=BUDGET))
        arguments = ast.arguments(
            posonlyargs=[], args=[*parameters, budget], kwonlyargs=[], kw_defaults=[], defaults=[]
        )
        body = [self._spend(node), *(self.visit(each) for each in node.body)]
        bare: dict[str, Any] = {"name": node.name, "args": arguments, "body": body}
        return _at(node, ast.FunctionDef(**bare, decorator_list=[]))

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Constant):  # a docstring
            return _at(node, ast.Pass())
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._loop(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._loop(node)

    def _loop(self, node: ast.While | ast.For) -> ast.AST:
        if isinstance(node, ast.For):
            node.target = self.visit(node.target)
            assert isinstance(node.iter, ast.Call)
            node.iter.args = [self.visit(each) for each in node.iter.args]
        else:
            node.test = self.visit(node.test)
        node.body = [self._spend(node), *(self.visit(each) for each in node.body)]
        node.orelse = [self.visit(each) for each in node.orelse]
        return node

    def _spend(self, node: ast.AST) -> ast.stmt:
        return _at(node, ast.Expr(value=_call(node, "__spend", [_name(node, BUDGET)])))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        assert node.value is not None
        target = self.visit(node.target)
        return _at(node, ast.Assign(targets=[target], value=self.visit(node.value)))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        read = copy.deepcopy(node.target)
        read.ctx = ast.Load()
        changed = _at(node, ast.BinOp(left=read, op=node.op, right=node.value))
        target = self.visit(node.target)
        return _at(node, ast.Assign(targets=[target], value=self.visit(changed)))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add | ast.Mult):
            node.left, node.right = _one(node.left), _one(node.right)
        operands = [node.left, node.right]
        if name := OPERATORS.get(type(node.op)):
            return _call(node, f"__{name}", operands)
        if self._interpreted and isinstance(node.op, ast.Div):
            return _call(node, "__quotient", operands)
        return self._wrapped(node) if isinstance(node.op, WRAPPED) else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return self._wrapped(node) if isinstance(node.op, ast.USub) else node

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.elts = [_one(each) for each in node.elts]
        return node

    def _wrapped(self, node: ast.expr) -> ast.expr:
        """Return an integer's operation with its result in 64 bits, where it has more."""
        if (number := _number(node)) is not None:
            return _at(node, ast.Constant(value=arithmetic.wrapped_value(number)))
        return _call(node, "__wrapped_value", [node]) if self._interpreted else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Name(id=name) if name in self._functions:
                node.args.append(_name(node, BUDGET))
            case ast.Name(id="divmod"):
                return _call(node, "__divided", node.args)
            case ast.Name(id="abs"):
                return self._wrapped(node)
            case ast.Attribute(value=ast.Name(id="math"), attr=name) | ast.Name(id=name):
                return self._python_call(node, name)
            case ast.Attribute(value=array, attr=method):
                return _call(node, f"__{METHODS[method]}", [array, _name(node, BUDGET)])
        return node

    def _python_call(self, node: ast.Call, name: str) -> ast.AST:
        """Return a call of a function that Python or `math` has."""
        if name in CALLS:
            return _call(node, f"__{CALLS[name]}", node.args)
        if self._interpreted and name in FLOAT_CALLS:
            return _call(node, f"__math_{name}", node.args)
        if isinstance(node.func, ast.Name) and name in MATH and name not in BUILTINS:
            node.func = _at(node, ast.Attribute(value=_name(node, "math"), attr=name))
            node.func.ctx = ast.Load()
        return node


def _at(place: ast.AST, node: Node) -> Node:
    """Return a new node with the place of the one that it is made for."""
    return ast.copy_location(node, place)


def _name(place: ast.AST, name: str) -> ast.expr:
    return _at(place, ast.Name(id=name, ctx=ast.Load()))


def _call(place: ast.AST, name: str, arguments: list[ast.expr]) -> ast.expr:
    return _at(place, ast.Call(func=_name(place, name), args=arguments, keywords=[]))


def _one(node: ast.expr) -> ast.expr:
    """Return an operand that must be a number: tuples, added to themselves, would grow and grow."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name[:2] == "__" and name != "__divided":
            return node  # which is one
        case ast.Name() | ast.Call() | ast.Attribute() | ast.IfExp() | ast.BoolOp() | ast.Tuple():
            return _call(node, "__number", [node])
    return node


def _number(node: ast.expr) -> int | None:
    """Return what an operation on integers in the text is, which Python would make of any size."""
    match node:
        case ast.BinOp(
            ast.Constant(value=int() as left), ast.Add(), ast.Constant(value=int() as right)
        ):
            return left + right
        case ast.BinOp(
            ast.Constant(value=int() as left), ast.Sub(), ast.Constant(value=int() as right)
        ):
            return left - right
        case ast.BinOp(
            ast.Constant(value=int() as left), ast.Mult(), ast.Constant(value=int() as right)
        ):
            return left * right
        case ast.UnaryOp(ast.USub(), ast.Constant(value=int() as right)):
            return -right
    return None
