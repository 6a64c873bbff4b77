"""The table of commands. A command's module is loaded when the command is called, or `--help`."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click

from natlb import __version__
from natlb.cli.options import shared

if TYPE_CHECKING:
    from collections.abc import Iterable

# Heading in the help -> module -> its commands.
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Run": {
        "host": ("run", "validate", "doctor", "cleanup"),
        "change": ("reload",),
        "systemd": ("systemd",),
    },
    "See": {
        "see": ("status", "services", "backends", "flows", "stats"),
        "check": ("check",),
        "top": ("top",),
        "events": ("events",),
        "monitoring": ("grafana", "alerts"),
    },
    "Change": {"change": ("drain", "maint", "ready", "weight", "add", "remove", "flush", "config")},
    "Try": {"lab": ("lab",), "simulate": ("simulate",), "bench": ("bench",)},
}
MODULES = {
    command: f"natlb.cli.{module}"
    for section in SECTIONS.values()
    for module, commands in section.items()
    for command in commands
}
LATER = (
    "capture",
    "explain",
    "observe",
    "replay",
)


class Natlb(click.Group):
    """The group of all commands, none of them loaded yet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of what this version can do."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, loaded now."""
        if cmd_name in LATER:
            return _later(cmd_name)
        if cmd_name not in MODULES:
            return None
        command = getattr(import_module(MODULES[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, or say which is near."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = " or ".join(f"'{each}'" for each in get_close_matches(name, MODULES, n=2))
            hint = f"; did you mean {near}?" if near else ""
            raise click.UsageError(f"no command '{name}'{hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, and apart what is to come."""
        for heading, modules in SECTIONS.items():
            names = [name for commands in modules.values() for name in commands]
            with formatter.section(heading):
                formatter.write_dl(self._lines(ctx, names))
        with formatter.section("Not in this version"):
            formatter.write_text(" ".join(LATER))

    def _lines(self, ctx: click.Context, names: Iterable[str]) -> list[tuple[str, str]]:
        commands = [(name, self.get_command(ctx, name)) for name in names]
        return [(name, command.get_short_help_str(70)) for name, command in commands if command]


def _later(name: str) -> click.Command:
    from natlb.cli.later import later

    return later(name)


@click.group(
    cls=Natlb,
    context_settings={"auto_envvar_prefix": "NATLB", "help_option_names": ["-h", "--help"]},
)
@shared(environment=True)
@click.version_option(__version__, prog_name="natlb", message="%(prog)s %(version)s")
def natlb() -> None:
    """Balance load by packets: one connection from client to backend, relayed, not terminated."""
