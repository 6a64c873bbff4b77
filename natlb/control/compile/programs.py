"""Which services choose by programs of the user's own, from which files, at which place.

A place is where a program keeps its state: `Counters.programs[slot]`. A service's policy and its
shadow have one each, and keep it from generation to generation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.control.policy.program import pick_for
from natlb.control.policy.program_source import (
    MOST_OCTETS,
    ProgramSource,
    check_program,
    decode_program,
)
from natlb.core.layout import MOST_PROGRAMS
from natlb.core.policy import pick
from natlb.errors import ConfigError

if TYPE_CHECKING:
    from natlb.control.config.values import Config
    from natlb.core.choice import Pick

PYTHON = "python"
ROLES = ("policy", "shadow")  # as CHOICES of a service

ProgramKey = tuple[str, str]
"""A service, and one of ROLES."""


@dataclass(frozen=True, slots=True)
class Place:
    """A program, and where it keeps its state."""

    slot: int
    source: ProgramSource


Programs = Mapping[ProgramKey, Place]


def wanted_programs(config: Config) -> dict[ProgramKey, tuple[str, str]]:
    """Return file and function of each policy and shadow that is a program."""
    return {
        (service.name, role): (
            str(policy.parameters["file"]),
            str(policy.parameters.get("function", "pick")),
        )
        for service in config.services.values()
        for role, policy in zip(ROLES, (service.policy, service.shadow), strict=True)
        if policy is not None and policy.name == PYTHON
    }


def program_path(file: str, config_path: str | None) -> Path:
    """Return where a program lies: beside the configuration, or here where that is no file."""
    return (Path(config_path).parent if config_path is not None else Path.cwd()) / file


def read_program(path: Path) -> str:
    """Return the text of a program's file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return decode_program(file.read(MOST_OCTETS + 1), str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"cannot read the policy {path}: {reason}"
        raise ConfigError(message, fix="name a file that natlb can read") from error


def programs_for(config: Config, read_from: object, old: Programs) -> Programs:
    """Return the programs that a configuration wants, read from beside it and checked.

    `read_from` is the configuration's path, or a mapping, which is nowhere. Raises ConfigError.
    """
    path = str(read_from) if isinstance(read_from, str | PathLike) else None
    files = {file for file, _ in wanted_programs(config).values()}
    texts = {file: read_program(program_path(file, path)) for file in files}
    return place_programs(sources_of(config, texts), old)


def sources_of(config: Config, texts: Mapping[str, str]) -> dict[ProgramKey, ProgramSource]:
    """Return the programs that a configuration wants, by the texts of their files, checked."""
    sources = {
        key: ProgramSource(file=file, function=function, text=texts[file])
        for key, (file, function) in wanted_programs(config).items()
    }
    for source in set(sources.values()):
        check_program(source)
    return sources


def place_programs(sources: Mapping[ProgramKey, ProgramSource], old: Programs) -> Programs:
    """Return a place for each program, the one it had if any. Raises ConfigError for too many."""
    if len(sources) > MOST_PROGRAMS:
        message = f"{len(sources)} policies of your own; at most {MOST_PROGRAMS} at once"
        raise ConfigError(message)
    taken = {old[key].slot for key in sources if key in old}
    free = (slot for slot in range(MOST_PROGRAMS) if slot not in taken)
    return {
        key: Place(old[key].slot if key in old else next(free), source)
        for key, source in sources.items()
    }


def pick_of(programs: Programs) -> Pick:
    """Return a `pick()` that knows these programs, compiled and tried. Raises ProgramError."""
    return pick_for(distinct(programs)) if programs else pick


def distinct(programs: Programs) -> tuple[ProgramSource, ...]:
    """Return each program once, in an order that depends on nothing else."""
    unique = {place.source.identity: place.source for place in programs.values()}
    return tuple(unique[identity] for identity in sorted(unique))


def owner_of(key: ProgramKey, source: ProgramSource) -> int:
    """Return 48 bits for a program at its place: what was kept there by another is not its own."""
    said = "\0".join((*key, f"{source.identity:x}")).encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=6).digest(), "little") | 1
