"""What many commands take: the socket, JSON, watching, filters, names of backends.

`--socket` and `--debug` may stand before or after the command's name. Every option also reads an
environment variable: `NATLB_SOCKET`, `NATLB_DEBUG`, `NATLB_JSON`, and `NATLB_COMMAND_OPTION`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from natlb.client import Client
from natlb.control.instance import flow_filter
from natlb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.model import FlowFilter

F = TypeVar("F", bound="Callable[..., Any]")
WATCH_SECONDS = 2.0
MAX_WATCH_SECONDS = 86400.0


@dataclass(slots=True)
class Terms:
    """How this command line wants to be spoken to, and about which instance."""

    socket: str | None = None
    debug: bool = False
    json: bool = False

    @property
    def client(self) -> Client:
        """The client of the instance that is meant."""
        return Client(self.socket)

    @property
    def colour(self) -> bool | None:
        """False where nobody wants colour, None where it depends on there being a terminal."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return False if plain else None


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that notes a value in the terms, unless the option was not given."""

    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Terms), name, value)

    return keep


def shared(*, environment: bool = False) -> Callable[[F], F]:
    """Return a decorator that adds `--socket` and `--debug`.

    Their variables are read once, before the command's name, so that what is written out wins.
    """
    socket = click.option(
        "--socket",
        metavar="PATH",
        expose_value=False,
        callback=_keep("socket"),
        envvar="NATLB_SOCKET" if environment else None,
        allow_from_autoenv=environment,
        help="The instance that listens there, not that of this network namespace.",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_keep("debug"),
        envvar="NATLB_DEBUG" if environment else None,
        allow_from_autoenv=environment,
        help="Show a bug's traceback.",
    )
    return lambda function: socket(debug(function))


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_keep("json"),
    envvar="NATLB_JSON",
    help="JSON on standard output, and errors as JSON.",
)


class SecondsType(click.ParamType[float]):
    """Reads a time to wait: longer than nothing, a day at most, and a number."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        if not _is_number(str(value)) or not 0 < float(value) <= MAX_WATCH_SECONDS:
            self.fail(f"'{value}' is not a number of seconds, a day at most", param, ctx)
        return float(value)


watch_option = click.option(
    "--watch",
    type=SecondsType(),
    is_flag=False,
    flag_value=WATCH_SECONDS,
    metavar="[SECONDS]",
    help=f"Again every SECONDS (default {WATCH_SECONDS:g}) until interrupted.",
)


class WatchCommand(click.Command):
    """A command whose `--watch` may stand before an argument that is no number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say outright how long to wait where `--watch` is followed by something else."""
        written = [*args]
        for index, word in enumerate(args):
            following = args[index + 1] if index + 1 < len(args) else ""
            if word == "--watch" and not _is_number(following):
                written[index] = f"--watch={WATCH_SECONDS:g}"
        return super().parse_args(ctx, written)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


class BackendName(NamedTuple):
    """A backend as it is addressed everywhere: `service/name`."""

    service: str
    name: str


class BackendType(click.ParamType[BackendName]):
    """Reads SERVICE/BACKEND."""

    name = "service/backend"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> BackendName:
        """Return the two halves; whether there is such a backend, the instance knows."""
        if isinstance(value, BackendName):
            return value
        service, _, name = value.partition("/")
        if not service or not name:
            self.fail(f"'{value}' is not SERVICE/BACKEND", param, ctx)
        return BackendName(service, name)


backend_argument = click.argument("backend", type=BackendType(), metavar="SERVICE/BACKEND")


def _filter(_context: click.Context, _parameter: click.Parameter, words: Any) -> FlowFilter:
    """Return the filter that `service=web client=…` spell."""
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"'{word}' is no filter; filters are written like service=web")
        if name in pairs:
            raise UsageError(f"filter '{name}' is given twice")
        pairs[name] = value
    return flow_filter(pairs)


filter_argument = click.argument(
    "wanted", nargs=-1, callback=_filter, metavar="[FILTER]...", type=click.UNPROCESSED
)
