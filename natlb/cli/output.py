"""Data to standard output: once, or again and again.

A reader that has seen enough (`natlb flows | head`) ends a command quietly; an output that
cannot be written is an error like any other.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from natlb.cli.options import Terms


def say(text: str, terms: Terms) -> None:
    """Write data, without its colours unless a terminal reads it."""
    with _told():
        click.echo(text, color=terms.colour)


def copy(source: Callable[[BinaryIO], None]) -> None:
    """Have `source` write a document of any length, then end its line."""
    if sys.stdout is None:
        return
    with _told():
        output = sys.stdout.buffer
        source(output)
        output.write(b"\n")
        output.flush()


@contextmanager
def _told() -> Iterator[None]:
    """Tell of an output that cannot be written; a reader that left is no error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        leave_quietly()
        raise HostError(f"cannot write to standard output: {error.strerror}") from None


def note(text: str) -> None:
    """Write words, which no program reads."""
    click.echo(text, err=True)


def leave_quietly() -> None:
    """Let what is still unwritten go nowhere, so that Python does not try again on leaving."""
    if sys.stdout is None:
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def repeat(
    view: Callable[[], str],
    seconds: float | None,
    terms: Terms,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write what `view` gives: once, or every so many seconds until interrupted.

    A terminal shows one picture that changes; anything else gets one text after the other.
    """
    if seconds is None:
        say(view(), terms)
    elif sys.stdout.isatty() and not terms.json:
        _redraw(view, seconds, terms, sleep)
    else:
        while True:
            say(view(), terms)
            sys.stdout.flush()
            sleep(seconds)


def _redraw(
    view: Callable[[], str], seconds: float, terms: Terms, sleep: Callable[[float], None]
) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=terms.colour is False, highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(Text.from_ansi(view(), no_wrap=True), refresh=True)
            sleep(seconds)
