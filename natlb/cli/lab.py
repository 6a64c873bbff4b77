"""`natlb lab`: namespaces with a client, natlb and backends, to try things in."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from natlb.cli.options import Terms, json_option, shared
from natlb.cli.output import note, say
from natlb.cli.tables import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.lab.record import LabStatus

DEFAULT_NAME = "lab"
DEFAULT_COUNT = 1000


@click.group()
@shared()
def lab() -> None:
    """Try natlb in a lab: namespaces with a client, natlb and backends."""


topology_option = click.option(
    "--topology",
    default="basic",
    show_default=True,
    metavar="NAME",
    help="How it is wired: basic, routed, two-sides, or a file.",
)
driver_option = click.option(
    "--driver",
    type=click.Choice(["auto", "tun", "packet"]),
    default="auto",
    show_default=True,
    help="What natlb receives packets by in there.",
)
name_argument = click.argument("name", default=DEFAULT_NAME, metavar="[NAME]")


@lab.command()
@shared()
@json_option
@topology_option
@driver_option
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=DEFAULT_COUNT,
    show_default=True,
    help="Requests of each kind to each service.",
)
@click.pass_obj
def demo(terms: Terms, topology: str, driver: str, count: int) -> int:
    """Bring a lab up, send traffic through natlb, show who got what, remove the lab."""
    from natlb import lab as labs

    return labs.demo(topology=topology, driver=driver, count=count, json_=terms.json)


@lab.command()
@shared()
@json_option
@topology_option
@driver_option
@name_argument
@click.pass_obj
def up(terms: Terms, name: str, topology: str, driver: str) -> None:
    """Bring a lab up, to stay; print the socket of the natlb in it."""
    from natlb import lab as labs

    made = labs.up(name=name, topology=topology, driver=driver, say=note)
    if terms.json:
        say(json.dumps(next(asdict(each) for each in labs.ls() if each.name == name)), terms)
        return
    note(f"lab {name} is up: {', '.join(made.namespaces.values())}")
    say(str(made.socket), terms)


@lab.command()
@shared()
@json_option
@click.option("--all", "all_", is_flag=True, help="Every lab.")
@click.argument("name", required=False)
@click.pass_obj
def down(terms: Terms, name: str | None, *, all_: bool) -> None:
    """Take a lab down, or all; nothing of it stays."""
    from natlb import lab as labs

    if all_ and name:
        raise click.UsageError("NAME and --all exclude each other")
    removed = labs.down(name=name or DEFAULT_NAME, all_=all_, say=note)
    if terms.json:
        say(json.dumps({"removed": removed}), terms)


@lab.command("ls")
@shared()
@json_option
@click.pass_obj
def list_labs(terms: Terms) -> None:
    """List the labs there are."""
    from natlb import lab as labs

    found = labs.ls()
    text = json.dumps([asdict(each) for each in found]) if terms.json else _table(found)
    say(text, terms)


def _table(labs: Sequence[LabStatus]) -> str:
    rows = [["Lab", "Topology", "State", "natlb", "Backends", "Socket"]]
    for each in labs:
        words = [each.name, each.topology, each.state, str(each.natlb or "-")]
        rows.append([*words, str(each.backends), each.socket or "-"])
    return "\n".join(aligned(rows, "<<<>><"))


class ExecCommand(click.Command):
    """A command whose own words end at `--`: what follows is another's command line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what follows `--` from being read as options of ours."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["natlb.command"] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


@lab.command("exec", cls=ExecCommand)
@shared()
@click.argument("words", nargs=-1, metavar="[NAME] HOST -- COMMAND")
@click.pass_context
def run_in(context: click.Context, words: tuple[str, ...]) -> int:
    """Run COMMAND in a HOST of a lab (client, lb, b1, ...); its exit code is this one's."""
    from natlb import lab as labs

    command = context.meta["natlb.command"]
    if not 1 <= len(words) <= 2 or not command:
        raise click.UsageError("expected [NAME] HOST -- COMMAND", ctx=context)
    *name, host = words
    return labs.run_in(name=name[0] if name else DEFAULT_NAME, host=host, command=command)
