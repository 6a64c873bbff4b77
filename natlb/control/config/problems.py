"""What is wrong with a configuration, all of it at once, each problem with its place.

    natlb.yaml:4:5: unknown key 'polcy' in service 'web'; did you mean 'policy'?
        3 |     listen: tcp://203.0.113.10:80
        4 |     polcy: round-robin
          |     ^
        5 |     backends: [10.77.0.11:8080]

A configuration that was never a file has no lines; its problems name the way to the value.
"""

from __future__ import annotations

import re
import shlex
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from natlb.control.config.tree import Fault, Node, Path
from natlb.errors import ConfigError

MAX_SHOWN = 100
"""So many problems are written out; more would bury the first."""
EXCERPT_WIDTH = 100
"""Columns of a line that an excerpt shows: a JSON file may be one line of a megabyte."""


def quoted(text: str) -> str:
    """Return text of the user's in quotes, cut short, with what does not print escaped."""
    return repr(text if len(text) <= 64 else text[:61] + "...")


def described(value: object) -> str:
    """Return what a value is, for a sentence that says it should be something else."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping | Node):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 1 << 64:  # Python prints no int of 4,301 digits
        return "a huge number"
    return repr(value) if isinstance(value, int | float) else f"of type {type(value).__name__}"


def path_text(path: Path) -> str:
    """Return a path as `services.web.backends[2]`; the root has no name."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{_step_text(step)}" for step in path]
    return "".join(steps).removeprefix(".")


def _step_text(step: str) -> str:
    """Return a key as it may stand in a path: in quotes where it could be taken for two."""
    return step if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", step) else quoted(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend; without a line where the whole file, or no file, is meant.

    `path` is empty where place and message say it already.
    """

    file: str | None
    line: int | None
    column: int | None
    path: str
    message: str
    suggestion: str | None
    excerpt: str | None

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line, self.column) if part is not None]
        where = [":".join(place)] if place else []
        if self.path:
            where.append(self.path)
        said = self.message if self.suggestion is None else f"{self.message}; {self.suggestion}"
        return ": ".join([*where, said])


class InvalidConfigError(ConfigError):
    """The configuration has these problems, in the order of the file."""

    def __init__(
        self, problems: Iterable[Problem], file: str | None = None, *, fix: str | None = None
    ) -> None:
        """Word the whole report: a count where there are several, then each with its excerpt."""
        self.problems = tuple(sorted(problems, key=_order))
        if fix is None and file is not None:
            fix = f"mend the file, then: natlb validate {shlex.quote(file)}"
        super().__init__(_report(self.problems, file), fix=fix)


def _order(problem: Problem) -> tuple[int, int]:
    """Return where a problem is sorted: by line and column, what concerns all of it first."""
    return problem.line or 0, problem.column or 0


def _report(problems: tuple[Problem, ...], file: str | None) -> str:
    """Return all problems as text."""
    blocks = [
        str(problem) if problem.excerpt is None else f"{problem}\n{problem.excerpt}"
        for problem in problems[:MAX_SHOWN]
    ]
    if len(problems) > MAX_SHOWN:
        blocks.append(f"... and {len(problems) - MAX_SHOWN} more")
    if len(problems) > 1:
        blocks.insert(0, f"{len(problems)} problems in {file or 'the configuration'}")
    return "\n".join(blocks)


class Source:
    """A text and its name: turns offsets into lines and columns, both counted from 1."""

    def __init__(self, text: str, name: str) -> None:
        """Find the lines once; a line ends at LF, CRLF or CR, as editors count."""
        self.name = name
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of an offset."""
        line = bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return a line, counted from 1, without its end."""
        end = self._starts[number] if number < len(self._starts) else len(self._text)
        return self._text[self._starts[number - 1] : end].rstrip("\r\n")

    def excerpt(self, line: int, column: int) -> str:
        """Return a line with the one before and the one after, and a caret under the column."""
        first = max(0, column - EXCERPT_WIDTH // 2) if column > EXCERPT_WIDTH - 10 else 0
        width = max(4, len(str(line + 1)))
        rows = []
        last = len(self._starts) - (self._starts[-1] == len(self._text))  # the end ends no line
        for number in range(max(1, line - 1), max(line, min(last, line + 1)) + 1):
            shown = _printable(self.line(number)[first : first + EXCERPT_WIDTH])
            rows.append(f"{number:>{width}} | {shown}".rstrip())
            if number == line:
                rows.append(f"{'':>{width}} | {'':{column - 1 - first}}^")
        return "\n".join(rows)

    def problem(self, fault: Fault) -> Problem:
        """Return a fault of this text as a problem with its place."""
        line, column = self.place(fault.at) if fault.at is not None else (None, None)
        return Problem(
            file=self.name,
            line=line,
            column=column,
            path="" if line is not None and fault.says_where else path_text(fault.path),
            message=fault.message,
            suggestion=fault.suggestion,
            excerpt=None if line is None or column is None else self.excerpt(line, column),
        )


def _printable(text: str) -> str:
    """Return text of the same length that a terminal shows one column a character."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)


def placeless(fault: Fault, file: str | None = None) -> Problem:
    """Return a fault of what has no lines: a mapping, or a file that cannot be read."""
    return Problem(
        file=file,
        line=None,
        column=None,
        path=path_text(fault.path),
        message=fault.message,
        suggestion=fault.suggestion,
        excerpt=None,
    )
