"""Commands about this host and this configuration: run, validate, doctor, cleanup."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natlb.cli.options import Terms, json_option, shared
from natlb.cli.output import note, say
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from natlb.control.config import Config

FILE = click.Path(path_type=Path)


@click.command()
@shared()
@click.option(
    "-c", "--config", "file", type=FILE, required=True, metavar="FILE", help="The configuration."
)
def run(file: Path) -> int:
    """Run natlb in this network namespace, in the foreground."""
    _require_compiler()
    from natlb.control import supervisor

    return supervisor.run(file)


def _require_compiler() -> None:
    """Refuse to begin what could only end in a worker that cannot load its code."""
    if os.environ.get("NATLB_JIT") != "0" and find_spec("numba") is None:
        fix = "pip install numba, or for a try without it: NATLB_JIT=0 natlb run -c FILE"
        raise UnavailableError("Numba is not installed, it compiles what forwards", fix=fix)


@click.command()
@shared()
@json_option
@click.option("--show", is_flag=True, help="Print it as YAML, every default spelled out.")
@click.argument("file", type=FILE)
@click.pass_obj
def validate(terms: Terms, file: Path, *, show: bool) -> None:
    """Check the configuration in FILE, and say all that is wrong with it."""
    from natlb.control.config import load_config, render_config

    if show and terms.json:
        raise click.UsageError("--show prints YAML: it goes without --json")
    config = load_config(file)
    if show:
        say(render_config(config).rstrip("\n"), terms)
    services, backends = _counts(config)
    if terms.json:
        say(json.dumps({"file": str(file), "services": services, "backends": backends}), terms)
    else:
        note(f"{file}: ok, {_plural(services, 'service')}, {_plural(backends, 'backend')}")


def _counts(config: Config) -> tuple[int, int]:
    return len(config.services), sum(len(each.backends) for each in config.services.values())


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
