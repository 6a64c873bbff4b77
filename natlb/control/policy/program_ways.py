"""Which ways there are through a program: those that leave a function, and those that come back."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def always_returns(body: list[ast.stmt]) -> bool:
    """Return whether a block cannot be left at its end."""
    match body[-1]:
        case ast.Return():
            return True
        case ast.If(body=then, orelse=[_, *_] as otherwise):
            return always_returns(then) and always_returns(otherwise)
        case ast.While(test=ast.Constant(value=test), body=turn) if test:
            return not _breaks(turn)
    return False


def _breaks(body: list[ast.stmt]) -> bool:
    """Return whether a loop's body breaks that loop, not one within it."""
    for node in body:
        match node:
            case ast.Break():
                return True
            case ast.If() if _breaks(node.body) or _breaks(node.orelse):
                return True
            case ast.For() | ast.While() if _breaks(node.orelse):
                return True
    return False


def own_calls(functions: Mapping[str, ast.FunctionDef]) -> dict[str, list[str]]:
    """Return which of these functions each calls."""
    return {
        name: [
            each.func.id
            for each in ast.walk(function)
            if isinstance(each, ast.Call)
            and isinstance(each.func, ast.Name)
            and each.func.id in functions
        ]
        for name, function in functions.items()
    }


def ways_of(calls: Mapping[str, list[str]]) -> tuple[set[str], dict[str, int]]:
    """Return the functions by whose calls a circle closes, and how deep the calls of each go.

    One walk, depth first: each call is looked at once.
    """
    closing = set()
    depths: dict[str, int] = {}
    begun: set[str] = set()
    for first in calls:
        if first in begun:
            continue
        begun.add(first)
        way: dict[str, Iterator[str]] = {first: iter(calls[first])}
        while way:
            name, left = next(reversed(way.items()))
            for called in left:
                if called in way:
                    closing.add(name)
                elif called not in begun:
                    begun.add(called)
                    way[called] = iter(calls[called])
                    break
            else:
                depths[name] = 1 + max((depths.get(each, 0) for each in calls[name]), default=0)
                del way[name]
    return closing, depths
