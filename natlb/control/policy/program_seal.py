"""The second wall: what a program became is looked at once more, before Python makes code of it.

`program_rules` says what is wrong, by place, and knows much of Python to do so. This knows only the
form that is compiled: few kinds of nodes, few names. What the first overlooks, this refuses.
"""

from __future__ import annotations

import ast

from natlb.control.policy.program_constants import MATH_NUMBERS
from natlb.control.policy.program_form import BUDGET, HELP
from natlb.control.policy.program_rules import (
    BUILTINS,
    COMPARISONS,
    EXPRESSIONS,
    FIELDS,
    MATH,
)

MOST_NODES = 10_000
NODES = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.If, ast.While, ast.For),
    *(ast.Return, ast.Pass, ast.Break, ast.Continue, ast.Expr, *EXPRESSIONS, *COMPARISONS),
    *(ast.expr_context, ast.boolop, ast.unaryop, ast.operator),
)
NAMES = {*HELP, BUDGET} - {"__builtins__", "__name__"}
ATTRIBUTES = FIELDS | MATH | MATH_NUMBERS.keys() | {"size"}


class UnsealedError(Exception):
    """What has no place in a program's form, and the line that it comes from."""

    def __init__(self, line: int, said: str) -> None:
        """Say so."""
        super().__init__(said)
        self.line = line


def sealed(tree: ast.Module) -> ast.Module:
    """Return a tree that functions and numbers alone are made of. Raises UnsealedError."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for count, node in enumerate(ast.walk(tree)):
        line = getattr(node, "lineno", 1)
        if count >= MOST_NODES:
            raise UnsealedError(
                line, "too long: a policy has no more than some thousand operations"
            )
        if not _is_known(node, functions):
            raise UnsealedError(line, f"'{ast.unparse(node):.40}' has no place in a policy")
    for node in tree.body:
        is_number = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if not is_number and not isinstance(node, ast.FunctionDef):
            raise UnsealedError(1, f"'{ast.unparse(node):.40}' is no function and no number")
    return tree


def _is_known(node: ast.AST, functions: set[str]) -> bool:
    """Return whether a node is one that the form has."""
    known = isinstance(node, NODES)
    match node:
        case ast.FunctionDef():
            known = not (node.decorator_list or node.returns or getattr(node, "type_params", None))
        case ast.arguments():
            stars = node.posonlyargs or node.kwonlyargs or node.vararg or node.kwarg
            known = not (stars or node.defaults or node.kw_defaults)
        case ast.arg():
            known = node.annotation is None and (node.arg == BUDGET or node.arg[:2] != "__")
        case ast.Name(id=name):
            known = name in NAMES or name[:2] != "__"
        case ast.Attribute(attr=name):
            known = name in ATTRIBUTES
        case ast.Constant(value=value):
            known = isinstance(value, bool | int | float)
        case ast.Call(func=ast.Name(id=name)):
            known = not node.keywords and name in functions | BUILTINS | NAMES
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr=name)):
            known = not node.keywords and name in MATH
        case ast.Call() | ast.MatMult():
            known = False
    return known
