"""`natlb top`: a terminal of what happens, or one table of it."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from natlb.cli.options import SecondsType, shared
from natlb.cli.output import say
from natlb.client import Client
from natlb.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from natlb.cli.options import Terms

INTERVAL_SECONDS = 2.0
ANSWER_SECONDS = 10.0


def is_terminal() -> bool:
    """Return whether somebody types and sees the screen, which goes to standard error."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


@click.command()
@shared()
@click.option("--once", is_flag=True, help="One plain table of two looks, SECONDS apart.")
@click.option(
    "--interval",
    type=SecondsType(),
    default=INTERVAL_SECONDS,
    metavar="SECONDS",
    help=f"From look to look (default {INTERVAL_SECONDS:g}).",
)
@click.pass_obj
def top(terms: Terms, interval: float, *, once: bool) -> None:
    """Show services, backends and flows as they change, with keys to drain and the like."""
    client = Client(terms.socket, timeout=ANSWER_SECONDS)
    if once:
        from natlb.tui import plain

        say(plain.once(client, interval, time.sleep), terms)
        return
    if not is_terminal():
        raise UsageError("natlb top needs a terminal", fix="natlb top --once")
    if find_spec("textual") is None:
        message = "natlb top needs Textual, which is not installed"
        raise UnavailableError(message, fix="pip install 'natlb[tui]'")
    from natlb.tui.app import Top

    Top(client, interval).run()
