"""A policy of the user's own as text: where it was read, what it is called by, whether it may be.

Whatever the text is, it gives a tree that keeps the rules, or a `ProgramError` with file and line.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass

from natlb.control.policy.program_rules import Rules
from natlb.errors import ConfigError

MOST_OCTETS = 64 << 10
MOST_FAULTS = 20  # that are told at once
FIX = "mend the policy, then: natlb validate FILE"


class ProgramError(ConfigError):
    """A policy of the user's own cannot be used; each line says file, line and column."""

    def __init__(self, message: str, *, fix: str | None = FIX) -> None:
        """Say how to try it again, as every error of a configuration does."""
        super().__init__(message, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSource:
    """A program as it is kept: its file's name, its text, and the function that is asked."""

    file: str
    function: str
    text: str

    @property
    def identity(self) -> int:
        """A number for what it does: 62 bits of text and function."""
        said = f"{self.function}\0{self.text}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little") >> 2


def check_program(source: ProgramSource) -> ast.Module:
    """Return the tree of a program that keeps all rules. Raises ProgramError."""
    if len(source.text.encode("utf-8", "surrogatepass")) > MOST_OCTETS:
        raise ProgramError(f"{source.file}: more than {MOST_OCTETS >> 10} KiB is no policy")
    try:
        tree = ast.parse(source.text, source.file)
        faults = Rules(tree, source.function).faults()
    except SyntaxError as error:
        place = f"{source.file}:{error.lineno or 1}:{error.offset or 1}"
        raise ProgramError(f"{place}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(f"{source.file}:1:1: cannot be read: {error}") from None
    if faults:
        lines = [f"{source.file}:{line}:{column + 1}: {said}" for line, column, said in faults]
        raise ProgramError("\n".join(lines[:MOST_FAULTS]))
    return tree


def line_of(source: ProgramSource) -> int:
    """Return the line in which the function that is asked begins."""
    return next(
        node.lineno
        for node in ast.parse(source.text).body
        if isinstance(node, ast.FunctionDef) and node.name == source.function
    )


def decode_program(octets: bytes, name: str) -> str:
    """Return the text of a program's file. Raises ProgramError."""
    if len(octets) > MOST_OCTETS:
        raise ProgramError(f"{name}: more than {MOST_OCTETS >> 10} KiB is no policy")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise ProgramError(f"{name}:{line}:1: not UTF-8") from None
