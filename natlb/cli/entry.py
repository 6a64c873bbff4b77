"""The way into every command, and the one place where an exception becomes words and an exit code.

Exit codes are those of `natlb.errors`; beside them 130 for an interrupt, and 70 with a report in
a file for what nobody foresaw. Words go to standard error, as two lines or, where a command was
asked for JSON, as one document.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING

import click

from natlb import __version__
from natlb.cli.options import Terms
from natlb.cli.output import leave_quietly
from natlb.cli.root import natlb
from natlb.errors import NatlbError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
reports: str | None = None  # where reports of bugs go, by default with other temporary files
DISTRIBUTIONS = {"ruamel": "ruamel.yaml"}  # imported by another name than it is installed by


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's own, and return its exit code."""
    given = list(sys.argv[1:] if words is None else words)
    terms = Terms(json=_asks_for_json(given))
    try:
        code = natlb.main(given, prog_name="natlb", standalone_mode=False, obj=terms)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
        return 0
    except (click.Abort, KeyboardInterrupt):
        leave_quietly()
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last net: all that is left is a bug, and told
        return _tell(_explained(error, given, terms), terms)
    return code if isinstance(code, int) else 0


def _asks_for_json(words: list[str]) -> bool:
    """Tell whether errors are wanted as JSON, also those of a command line that cannot be read."""
    own = words[: words.index("--")] if "--" in words else words
    return "--json" in own


def _explained(error: Exception, words: list[str], terms: Terms) -> NatlbError:
    """Return the error as one of natlb's own."""
    if isinstance(error, NatlbError) and (error.exit_code != NatlbError.exit_code or error.fix):
        return error  # a bug with a remedy is another process's, which has reported it
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] != "natlb":
        name = (error.name or "a module").split(".")[0]
        fix = f"pip install {DISTRIBUTIONS.get(name, name)}"
        return UnavailableError(f"{name} is not installed, natlb needs it", fix=fix)
    return _bug(error, words, terms)


def _usage(error: click.ClickException) -> UsageError:
    message = error.format_message().strip().removesuffix(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "natlb"
    return UsageError(message[:1].lower() + message[1:], fix=f"{path} --help")


def _bug(error: Exception, words: list[str], terms: Terms) -> NatlbError:
    """Write down what is needed to find a bug, and return the line that says where."""
    text = "".join(traceback.format_exception(error))
    if terms.debug:
        click.echo(text, err=True, nl=False)
    what = error.message if isinstance(error, NatlbError) else f"{type(error).__name__}: {error}"
    report = _report(words, text)
    return NatlbError(f"a bug in natlb: {what}, report in {report}", fix=f"report it with {report}")


def _report(words: list[str], text: str) -> str:
    """Return the file that now holds what happened, or where it would have been."""
    lines = [
        f"natlb {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"natlb {shlex.join(words)}",
        text,
    ]
    try:
        handle, path = tempfile.mkstemp(prefix="natlb-bug-", suffix=".txt", dir=reports)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
    except OSError as error:
        return f"no file ({error.strerror}); see it with --debug"
    return path


def _tell(error: NatlbError, terms: Terms) -> int:
    """Say what went wrong and how to mend it, and return the exit code."""
    if terms.json:
        told = {"code": error.code, "message": error.message, "fix": error.fix}
        click.echo(json.dumps({"error": told}), err=True)
    else:
        colour = terms.colour
        click.echo(f"{click.style('error:', fg='red')} {error.message}", err=True, color=colour)
        if error.fix:
            click.echo(f"{click.style('fix:', fg='green')} {error.fix}", err=True, color=colour)
    return error.exit_code
