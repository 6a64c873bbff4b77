"""Programs on their way between processes: what control read, as a nursery compiles it.

The text travels, not the file's name alone: what is in force stays what was checked, whatever
becomes of the file, and whoever is started anew compiles the same.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from natlb.control.compile.programs import program_path, sources_of, wanted_programs
from natlb.control.policy.program_source import ProgramSource
from natlb.control.reading import POLICY, Quoting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from natlb.control.compile.programs import ProgramKey, Programs
    from natlb.control.config import Config
    from natlb.control.reading import FileText


def encode_programs(sources: Iterable[ProgramSource]) -> bytes:
    """Return programs as they travel."""
    return json.dumps([asdict(source) for source in sources], separators=(",", ":")).encode()


def decode_programs(octets: bytes) -> tuple[ProgramSource, ...]:
    """Return the programs that these octets are. Raises ValueError."""
    try:
        return tuple(ProgramSource(**stored) for stored in json.loads(octets))
    except TypeError as error:
        raise ValueError(f"no programs: {error}") from error


async def read_programs(
    config: Config, config_path: str, read: Callable[[Path], Awaitable[FileText]]
) -> tuple[dict[ProgramKey, ProgramSource], Quoting]:
    """Return the programs that a configuration wants, checked, and what may be quoted of them.

    Raises ConfigError.
    """
    files = dict.fromkeys(file for file, _ in wanted_programs(config).values())
    read_files = {file: await read(program_path(file, config_path)) for file in files}
    texts = {file: each.text for file, each in read_files.items()}
    is_quotable = all(each.is_quotable for each in read_files.values())
    quoting = Quoting(tuple(texts), is_quotable, POLICY)
    with quoting.kept():
        return await asyncio.to_thread(sources_of, config, texts), quoting


def changed_services(old: Programs, new: Programs) -> list[str]:
    """Return the services that choose by another program than before, though both ways by one."""
    changed = (
        service
        for (service, role), place in new.items()
        if (service, role) in old and old[service, role].source != place.source
    )
    return list(dict.fromkeys(changed))
