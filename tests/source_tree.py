"""The source tree as values: modules, who imports whom and when, how long each function is.

Reads files with `ast` and `tokenize` and imports nothing of them, so a broken or half-written
tree can be judged too.

How a function's length is counted: the lines from its `def` to its end that hold code. Decorators,
the docstring, blank lines and lines of comment alone are not counted; the signature is, and so are
functions inside it.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


class When(Enum):
    """When an import is carried out."""

    LOAD = "as the module is loaded"
    CALL = "as a function runs"
    TYPES = "by the type checker alone"


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a module imports; `target` is the module it comes from, as far as known."""

    importer: str
    target: str
    line: int
    when: When


@dataclass(frozen=True, slots=True)
class Function:
    """A function and how many lines of code it has."""

    module: str
    name: str
    line: int
    length: int


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed file; `name` is what `import` calls it, `place` where it lies in the tree."""

    name: str
    place: str
    text: str
    tree: ast.Module
    is_package: bool

    def tokens(self) -> list[tokenize.TokenInfo]:
        """Return the file as Python's own tokenizer sees it."""
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))


Tree = dict[str, Module]


def read_tree(root: Path, package: str = "natlb") -> Tree:
    """Return every module of `root/package` by its name."""
    modules = (_read_module(root, file) for file in sorted((root / package).rglob("*.py")))
    return {module.name: module for module in modules}


def _read_module(root: Path, file: Path) -> Module:
    parts = file.relative_to(root).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    text = file.read_text(encoding="utf-8")
    return Module(
        name=".".join(parts[:-1] if is_package else parts),
        place=file.relative_to(root).as_posix(),
        text=text,
        tree=ast.parse(text, filename=str(file)),
        is_package=is_package,
    )


def imports(module: Module, tree: Tree) -> Iterator[Import]:
    """Yield what `module` imports, at any depth; `from a import b` is `a.b` if that is a module."""
    yield from _imports_below(module.tree, module, tree, When.LOAD)


def _imports_below(node: ast.AST, module: Module, tree: Tree, when: When) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        yield from _imports_of(child, module, tree, when)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = When.CALL if when is When.LOAD else when
            yield from _imports_below(child, module, tree, inner)
        elif isinstance(child, ast.If) and _asks_for_type_checking(child.test):
            for part in child.body:
                yield from _imports_of(part, module, tree, When.TYPES)
                yield from _imports_below(part, module, tree, When.TYPES)
            for part in child.orelse:
                yield from _imports_of(part, module, tree, when)
                yield from _imports_below(part, module, tree, when)
        else:
            yield from _imports_below(child, module, tree, when)


def _imports_of(node: ast.AST, module: Module, tree: Tree, when: When) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(module.name, alias.name, node.lineno, when)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, module)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield Import(module.name, inner if inner in tree else base, node.lineno, when)


def _base(node: ast.ImportFrom, module: Module) -> str:
    """Return the module a `from` names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    up = node.level - 1 if module.is_package else node.level
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _asks_for_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def functions(module: Module) -> Iterator[Function]:
    """Yield every function and method of a module with its length, counted as said above."""
    coded = {
        line
        for token in module.tokens()
        if token.type not in SILENT
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = set(range(node.lineno, (node.end_lineno or node.lineno) + 1)) & coded
            yield Function(module.name, node.name, node.lineno, len(lines - _docstrings(node)))


def _docstrings(function: ast.AST) -> set[int]:
    """Return the lines of all docstrings in a function: its own and those of functions inside."""
    lines: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
                lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines
