"""`natlb simulate`: policies against each other on the real core, with a virtual clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from natlb.cli.options import Terms, json_option, shared
from natlb.cli.output import note, say
from natlb.cli.simulated import simulated_document, simulated_text
from natlb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from natlb.simulation.changes import Change
    from natlb.simulation.run import Contender, Outcome, Scenario
    from natlb.simulation.stage import Arena
    from natlb.simulation.workload import Workload

FILE = click.Path(path_type=Path)
FLOWS = 100_000
BACKENDS = 10
USUAL_WORKLOAD = {
    "arrivals": "poisson:1000",
    "holding": "exp:1",
    "clients": "uniform:10000",
    "handshake": "constant:0.001",
}
HANDFUL = (
    "round-robin",
    "random",
    "power-of-two",
    "least-connections",
    "source-hash",
    "maglev",
)
WORKLOAD_HELP = {
    "arrivals": "When flows come: poisson:RATE, constant:RATE, burst:SIZE:EVERY, trace:FILE.",
    "holding": "How long they take: constant:SECONDS, exp:MEAN, pareto:ALPHA:MIN, "
    "lognormal:MEDIAN:SIGMA.",
    "clients": "Who calls: uniform:N, zipf:EXPONENT:N.",
    "handshake": "How long a backend takes to answer; written as --holding.",
}


def workload_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each part of a workload."""
    for name, usual in reversed(USUAL_WORKLOAD.items()):
        text = f"{WORKLOAD_HELP[name]}  [default: {usual}]"
        function = click.option(f"--{name}", metavar="FORM", help=text)(function)
    return function


def many(name: str, metavar: str, text: str) -> Callable[..., Any]:
    """Return an option that may be given again and again."""
    return click.option(f"--{name}", multiple=True, metavar=metavar, help=text)


@click.command()
@shared()
@json_option
@click.argument("file", type=FILE, required=False, metavar="[CONFIG]")
@click.option("--service", metavar="NAME", help="The configuration's service that is meant.")
@many("policy", "NAME[:KEY=VALUE,…]", "A policy to try, or a contrast-….")
@click.option("--backends", type=int, metavar="N", help="So many, b1 to bN, of weight 1.")
@click.option("--weights", metavar="W,W,…", help="Backends b1, b2, … of these weights.")
@click.option("--flows", type=int, metavar="N", help=f"How many.  [default: {FLOWS}]")
@workload_options
@click.option("--pcap", type=FILE, metavar="FILE", help="The flows of a capture instead.")
@many("slow", "BACKEND:TIMES", "A backend that takes so many times as long.")
@many("fail", "BACKEND@FROM[-UNTIL]", "Found down at a time, in seconds; its flows break.")
@many("drain", "BACKEND@FROM[-UNTIL]", "Drained at a time.")
@many("remove", "BACKEND@FROM[-UNTIL]", "Out of the configuration at a time.")
@many("weigh", "BACKEND:WEIGHT@FROM", "Given another weight at a time.")
@click.option("--servers", type=int, default=0, metavar="K", help="Flows a backend serves at once.")
@click.option("--seed", type=int, default=1, metavar="N", show_default=True, help="Of all chance.")
@click.option("--picture", type=FILE, multiple=True, metavar="FILE", help="A .png or .svg file.")
@click.option("--title", metavar="WORDS", help="What the picture is headed by.")
@click.pass_obj
def simulate(terms: Terms, /, **given: Any) -> None:
    """Try policies against each other on the real core, with a virtual clock.

    Backends are those of CONFIG's service, or invented ones; flows are invented, or a capture's.
    """
    from natlb.simulation.measures import measure
    from natlb.simulation.run import run

    arena = _arena(given)
    contenders = _contenders(given["policy"], arena, given["file"])
    workload = _workload(given)
    scenario = _scenario(given, workload)
    _refuse_pictures(given["picture"])
    outcomes = []
    for contender in contenders:
        _tell_of_compiling()
        outcomes.append(run(arena, contender, scenario))
    _draw(given, outcomes)
    reports = [measure(outcome) for outcome in outcomes]
    if terms.json:
        say(json.dumps(simulated_document(arena, scenario, reports)), terms)
    else:
        say(simulated_text(reports), terms)


def _arena(given: dict[str, Any]) -> Arena:
    """Return where policies are tried: a configuration's service, or an invented one."""
    from natlb.control.config import load_config
    from natlb.simulation.contenders import configured, invented

    if given["seed"] < 0:
        raise UsageError(f"--seed {given['seed']} is below 0")
    if given["file"] is None:
        if given["service"] is not None:
            raise UsageError("--service is one of a configuration", fix="natlb simulate CONFIG")
        return invented(_weights(given["backends"], given["weights"]), given["seed"])
    for name in ("backends", "weights"):
        if given[name] is not None:
            raise UsageError(f"--{name}: the backends are those of the configuration")
    return configured(
        load_config(given["file"]), given["service"], given["seed"], str(given["file"])
    )


def _weights(backends: int | None, weights: str | None) -> list[int]:
    """Return what each invented backend weighs."""
    if weights is None:
        return [1] * (BACKENDS if backends is None else backends)
    words = weights.split(",")
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"--weights '{weights}': they are written 1,2,3")
    if backends is not None and backends != len(words):
        raise UsageError(f"--backends {backends}, and {len(words)} weights")
    return [int(word) for word in words]


def _contenders(policies: Sequence[str], arena: Arena, file: Path | None) -> list[Contender]:
    """Return what is to be tried: what was asked for, else the service's own, or a handful."""
    from natlb.core.policy import POLICY_NAMES
    from natlb.simulation.contenders import contender
    from natlb.simulation.run import Contender

    count = len(arena.names)
    if policies:
        return [contender(words, count) for words in policies]
    if file is None:
        return [contender(words, count) for words in HANDFUL if words in POLICY_NAMES]
    policy = arena.config.services[arena.service].policy
    return [Contender(words=policy.name, policy=policy)]


def _workload(given: dict[str, Any]) -> Workload:
    """Return the flows that come."""
    from natlb.simulation.capture import read_capture
    from natlb.simulation.workload import draw_workload

    forms = {name: given[name] for name in USUAL_WORKLOAD}
    if given["pcap"] is None:
        flows = FLOWS if given["flows"] is None else given["flows"]
        chosen = {name: form or USUAL_WORKLOAD[name] for name, form in forms.items()}
        return draw_workload(flows=flows, seed=given["seed"], **chosen)
    for name, form in forms.items():
        if form is not None:
            raise UsageError(f"--{name}: the flows are those of the capture")
    return read_capture(given["pcap"], given["flows"])


def _scenario(given: dict[str, Any], workload: Workload) -> Scenario:
    """Return what all policies go through."""
    from natlb.simulation.changes import read_slowness, read_span, read_weight
    from natlb.simulation.run import Scenario

    if given["servers"] < 0:
        raise UsageError(f"--servers {given['servers']} is below 0; 0 is no limit")
    changes: list[Change] = [read_weight(text) for text in given["weigh"]]
    for text in given["fail"]:
        changes += read_span("fail", text)
    for text in given["drain"]:
        changes += read_span("drain", text)
    for text in given["remove"]:
        changes += read_span("remove", text)
    return Scenario(
        workload=workload,
        changes=changes,
        slowness=dict(read_slowness(text) for text in given["slow"]),
        servers=given["servers"],
    )


def _tell_of_compiling() -> None:
    """Say why nothing is heard for a while, where that is so."""
    from natlb import jit
    from natlb.simulation.kernels.driver import drive

    if jit.COMPILED and not jit.is_compiled(drive) and not jit.is_in_cache(drive):
        note("compiling the simulator, once for this version: about half a minute")


def _refuse_pictures(places: Sequence[Path]) -> None:
    """Raise now where a picture could not be drawn when all is done."""
    if places:
        from natlb.simulation.pictures import refuse_picture

        for place in places:
            refuse_picture(place)


def _draw(given: dict[str, Any], outcomes: list[Outcome]) -> None:
    """Write the pictures."""
    if given["picture"]:
        from natlb.simulation.pictures import draw

        title = given["title"] or "How policies spread the same flows"
        for place in given["picture"]:
            draw(outcomes, place, title)
