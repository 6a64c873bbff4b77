"""A policy of the user's own, from its text to a `pick()` that workers call.

    text -> checked tree (`program_source`) -> bounded (`program_form`) -> compiled -> tried

Nothing of the text is run before it is checked, and then at first on a sample.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.control.policy.program_form import HELP, bounded
from natlb.control.policy.program_sample import try_programs
from natlb.control.policy.program_seal import UnsealedError, sealed
from natlb.control.policy.program_source import (
    ProgramError,
    ProgramSource,
    check_program,
    line_of,
)
from natlb.core.layout import PROGRAM_STATE
from natlb.core.policy.program import FIELDS, Program, pick_with
from natlb.core.policy.values import shown
from natlb.jit import COMPILED, Misfit, program_kernel, result_of
from natlb.policy import Flow, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.core.choice import Pick

WHOLE_TYPES = {"int64", "int32", "int16", "int8"}
MOST_KEPT = 16  # sets of programs, compiled, that a process keeps


@lru_cache(MOST_KEPT)
def pick_for(sources: tuple[ProgramSource, ...]) -> Pick:
    """Return a `pick()` that knows these programs, tried on a sample. Raises ProgramError."""
    programs = [compile_program(source) for source in sources]
    pick = pick_with(programs)
    try_programs(sources, programs, pick)
    return pick


def compile_program(source: ProgramSource) -> Program:
    """Return a program that `pick_with()` takes, compiled. Raises ProgramError."""
    tree = check_program(source)
    looked_at = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    sees = sum(1 << at for at, name in enumerate(FIELDS) if name in looked_at)
    call = _functions(tree, source)[source.function]
    if COMPILED:  # pragma: no cover - coverage is measured where nothing is compiled
        _check_types(call, source, line_of(source))
    return Program(source.identity, call, sees)


def _functions(tree: ast.Module, source: ProgramSource) -> dict[str, Callable[..., Any]]:
    """Return the program's functions, each with its budget, ready to be compiled."""
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    space: dict[str, Any] = dict(HELP)
    try:
        module = sealed(bounded(tree, interpreted=not COMPILED))
        code = compile(module, source.file, "exec", dont_inherit=True)
        exec(code, space)  # noqa: S102 - functions and numbers alone: `program_seal`
    except UnsealedError as error:
        raise ProgramError(f"{source.file}:{error.line}:1: {error}") from None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise ProgramError(f"{source.file}:1:1: cannot be compiled: {error}") from None
    for name in names:
        space[name].__qualname__ = f"{source.identity:x}.{name}"
        space[name] = program_kernel(space[name])
    return {name: space[name] for name in names}


def _check_types(call: Any, source: ProgramSource, line: int) -> None:
    """Compile a program for what it will be given. Raises ProgramError."""
    floats, wholes = shown(np.zeros(1)), shown(np.zeros(1, np.int64))
    pool = Pool(floats, wholes, wholes, floats, wholes, shown(np.zeros(PROGRAM_STATE)))
    flow = Flow(0, 0, (0, 0, 0, 0), 0, 0.0, 0.0)
    try:
        result = result_of(call, pool, flow, np.zeros(1, np.int64))
    except Misfit as error:
        raise ProgramError(f"{source.file}:{error.line}:1: {error.reason}") from None
    except Exception as error:
        said = f"cannot be compiled: {type(error).__name__}: {error}"
        raise ProgramError(f"{source.file}:{line}:1: {said:.200}") from error
    if result not in WHOLE_TYPES:
        known = {"float64": "a float", "bool": "a bool", "none": "nothing"}
        said = known.get(result, result)
        if result.startswith("Optional"):
            said = "nothing on some of its ways"
        raise ProgramError(
            f"{source.file}:{line}:1: '{source.function}' returns {said}, not a position: an int"
        )
