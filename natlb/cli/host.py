"""Commands about this host and this configuration: run, validate, doctor, cleanup."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natlb.cli.options import Terms, json_option, shared
from natlb.cli.output import note, say
from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.control.config import Config
    from natlb.control.host import Check

FILE = click.Path(path_type=Path)
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@shared()
@click.option(
    "-c", "--config", "file", type=FILE, required=True, metavar="FILE", help="The configuration."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Begin with what was changed at run time before the last stop: states, weights, pools.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Take the place of the natlb that runs here, code included; its connections go on.",
)
@click.option(
    "--cpus", metavar="LIST", help="Pin workers to these CPUs, one after the other: 0,2-3."
)
def run(file: Path, *, resume: bool, replace: bool, cpus: str | None) -> int:
    """Run natlb in this network namespace, in the foreground."""
    _require_compiler()
    from natlb.control import supervisor
    from natlb.control.cpus import parse_cpus, require_cpus
    from natlb.control.directory import RESUME_VARIABLE

    pinned = () if cpus is None else parse_cpus(cpus)
    require_cpus(pinned)
    if resume:
        os.environ[RESUME_VARIABLE] = "1"
    if replace:
        from natlb.control.config import load_config

        _try_programs(load_config(file), file)  # refused here, and the other goes on
    return supervisor.run(file, replace=replace, cpus=pinned)


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
    _try_programs(config, file)
    if show:
        say(render_config(config).rstrip("\n"), terms)
    services, backends = _counts(config)
    if terms.json:
        say(json.dumps({"file": str(file), "services": services, "backends": backends}), terms)
    else:
        note(f"{file}: ok, {_plural(services, 'service')}, {_plural(backends, 'backend')}")


def _try_programs(config: Config, file: Path) -> None:
    """Refuse what `run` would refuse of policies of the user's own: compile and try each."""
    from natlb.control.compile.programs import pick_of, programs_for, wanted_programs

    if wanted_programs(config):
        _require_compiler()
        pick_of(programs_for(config, file, {}))


def _counts(config: Config) -> tuple[int, int]:
    return len(config.services), sum(len(each.backends) for each in config.services.values())


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@click.command()
@shared()
@json_option
@click.option(
    "-c", "--config", "file", type=FILE, metavar="FILE", help="Look also at what this wants."
)
@click.pass_obj
def doctor(terms: Terms, file: Path | None) -> int:
    """Say what in this host would stop natlb, and what mends it; exit code 1 if anything does."""
    from natlb.control import host
    from natlb.control.cleanup import is_running
    from natlb.control.config import load_config
    from natlb.control.directory import own_directory

    config = load_config(file) if file else None
    with host.KernelReader() as reader:
        running = is_running(own_directory())
        checks = host.examine(host.HostProbe(), reader, config, running=running)
    if terms.json:
        say(json.dumps({"checks": list(map(asdict, checks))}), terms)
    else:
        say("\n".join([*_lines(checks), host.verdict(checks)]), terms)
    return int(any(check.status == "fail" for check in checks))


def _lines(checks: Sequence[Check]) -> list[str]:
    """Return a line for each check: its result, what was looked at, what was seen, the cure."""
    width = max(len(check.name) for check in checks)
    return [
        click.style(f"{check.status:<4}", fg=COLOURS[check.status])
        + f"  {check.name:<{width}}  {check.seen}"
        + (f"; fix: {check.fix}" if check.fix else "")
        for check in checks
    ]


@click.command()
@shared()
@json_option
@click.pass_obj
def cleanup(terms: Terms) -> None:
    """Undo what a crash left in this network namespace."""
    from natlb.control.cleanup import cleanup

    undone = cleanup()
    if terms.json:
        say(json.dumps({"undone": undone}), terms)
    else:
        say("\n".join([f"undone {each}" for each in undone] or ["nothing to undo"]), terms)
