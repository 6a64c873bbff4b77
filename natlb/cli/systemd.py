"""The command that prints a unit for systemd, as this very installation would be run."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natlb.cli.options import shared
from natlb.cli.output import say
from natlb.errors import UsageError

if TYPE_CHECKING:
    from natlb.cli.options import Terms

CONFIG = Path("/etc/natlb/natlb.yaml")
USER = "natlb"
USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")  # useradd(8)
BARE = re.compile(r"[A-Za-z0-9@_+=:,./-]+")
PROGRAMS = {
    "@BPF_WHY@": "\n# BPF                  programs that say whose a packet is",
    "@BPF_CAPABILITIES@": " CAP_BPF",
    "@BPF_CALLS@": "SystemCallFilter=bpf\n",
}
XDP = {"@XDP_FAMILY@": " AF_XDP"}


@click.command()
@shared()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=CONFIG,
    show_default=True,
    metavar="FILE",
    help="The configuration that it runs with.",
)
@click.option("--user", default=USER, show_default=True, metavar="NAME", help="Who it runs as.")
@click.option("--resume", is_flag=True, help="Changes made at run time come back after a boot.")
@click.option("--xdp", is_flag=True, help="With the rights that `driver: xdp` will need.")
@click.option(
    "--workers",
    is_flag=True,
    help="With what several workers need: to steer `driver: tun`, to be pinned (--cpus).",
)
@click.pass_obj
def systemd(
    terms: Terms, config: Path, user: str, *, resume: bool, xdp: bool, workers: bool
) -> None:
    """Print a unit for systemd, hardened, for this installation of natlb."""
    asked = {"resume": resume, "xdp": xdp, "workers": workers}
    say(unit(executable(), config.absolute(), user, **asked), terms)


def executable() -> str:
    """Return the words that start this natlb: its script, or its Python where there is none."""
    script = Path(sys.executable).with_name("natlb")
    if script.is_file():
        return _word(str(script))
    return f"{_word(sys.executable)} -m natlb"


def unit(
    command: str, config: Path, user: str, *, resume: bool, xdp: bool, workers: bool = False
) -> str:
    """Return the unit's text. Raises UsageError for what no unit can say."""
    if not USER_NAME.fullmatch(user):
        raise UsageError(f"{user!r} is not the name of a user", fix="natlb systemd --user natlb")
    text = files("natlb.cli").joinpath("natlb.service").read_text(encoding="utf-8")
    words = {
        "@EXECUTABLE@": command,
        "@CONFIG@": _word(str(config)),
        "@USER@": user,
        "@RESUME@": " --resume" if resume else "",
        **(XDP if xdp else dict.fromkeys(XDP, "")),
        **(PROGRAMS if xdp or workers else dict.fromkeys(PROGRAMS, "")),
        "@PINNING_CALLS@": "SystemCallFilter=sched_setaffinity\n" if workers else "",
    }
    for mark, value in words.items():
        text = text.replace(mark, value)
    return text.rstrip("\n")


def _word(text: str) -> str:
    """Return one word of a command line as a unit has it (systemd.service(5))."""
    if not text.isprintable() or not text.isascii():
        raise UsageError(f"a unit cannot say {text!r}", fix="use a path of printable ASCII")
    if BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
