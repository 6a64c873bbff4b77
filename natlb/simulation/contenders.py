"""Policies and pools by the words of a command line, judged as a configuration's are."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natlb.control.config import Config, InvalidConfigError, config_from_mapping
from natlb.errors import UnknownNameError, UsageError
from natlb.simulation.run import CONTRASTS, Contender
from natlb.simulation.stage import Arena

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.control.config import PolicyConfig

SERVICE = "simulated"
LISTEN = "tcp://203.0.113.10:80"
FIRST_BACKEND = 10 << 24 | 77 << 16 | 1  # 10.77.0.1
MOST_BACKENDS = 10_000
PREFIX = "contrast-"


def invented(weights: Sequence[int], seed: int) -> Arena:
    """Return an arena of backends b1, b2, … of these weights."""
    if not 1 <= len(weights) <= MOST_BACKENDS:
        raise UsageError(f"{len(weights)} backends are not in 1..{MOST_BACKENDS}")
    return Arena(config=_config(weights, "round-robin"), service=SERVICE, seed=seed)


def configured(
    config: Config, service: str | None, seed: int, read_from: str | None = None
) -> Arena:
    """Return the arena of a configuration's service, which is to be named where there are more."""
    names = ", ".join(config.services)
    if service is None and len(config.services) > 1:
        raise UsageError(f"there are several services: {names}", fix="--service NAME")
    name = next(iter(config.services)) if service is None else service
    if name not in config.services:
        raise UnknownNameError(f"no service '{name}'; there are {names}")
    return Arena(config=config, service=name, seed=seed, read_from=read_from)


def contender(words: str, backends: int) -> Contender:
    """Return what `maglev:size=65537,key=address` asks for, with so many backends to choose from.

    Raises UsageError where a configuration with this policy would be refused.
    """
    name, _, rest = words.partition(":")
    if name.startswith(PREFIX):
        if words not in CONTRASTS:
            near = get_close_matches(words, CONTRASTS, n=1, cutoff=0.0)[0]
            raise UsageError(f"--policy '{words}': no such contrast; did you mean '{near}'?")
        return Contender(words=words)
    policy: dict[str, object] = {"name": name}
    for pair in rest.split(",") if rest else []:
        key, equals, value = pair.partition("=")
        if not key or not equals or key in policy:
            raise UsageError(f"--policy '{words}': parameters are written KEY=VALUE,KEY=VALUE")
        # A program named here lies here, not beside a configuration.
        policy[key] = str(Path(value).absolute()) if key == "file" else _value(value)
    return Contender(words=words, policy=_policy(words, policy, backends))


def _policy(words: str, policy: dict[str, object], backends: int) -> PolicyConfig:
    try:
        return _config([1] * backends, policy).services[SERVICE].policy
    except InvalidConfigError as error:
        problem = error.problems[0]
        hint = f"; {problem.suggestion}" if problem.suggestion else ""
        raise UsageError(f"--policy '{words}': {problem.message}{hint}") from None


def _value(word: str) -> object:
    """Return a value as YAML would read it."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _config(weights: Sequence[int], policy: object) -> Config:
    """Return a configuration of one service."""
    backends: list[dict[str, Any]] = []
    for number, weight in enumerate(weights):
        address = FIRST_BACKEND + number
        octets = ".".join(str(address >> shift & 0xFF) for shift in (24, 16, 8, 0))
        backend: dict[str, Any] = {"name": f"b{number + 1}", "address": f"{octets}:8080"}
        backends.append(backend | ({} if weight == 1 else {"weight": weight}))
    return config_from_mapping(
        {"services": {SERVICE: {"listen": LISTEN, "policy": policy, "backends": backends}}}
    )
