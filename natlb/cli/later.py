"""Commands that are known and not there yet: refused, never silently nothing."""

from __future__ import annotations

import click

from natlb.errors import UnavailableError


def later(name: str) -> click.Command:
    """Return a command that takes whatever it is given and says that it is not in this version."""

    @click.command(
        name,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def refuse(words: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever they are
        raise UnavailableError(f"not in this version: natlb {name}", fix="natlb --help")

    return refuse
