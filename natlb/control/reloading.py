"""A reload: a configuration in force whole, or an error and nothing changed.

It begins with what may take long and changes nothing, reading and learning; intents come between,
and what they did is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from natlb.control.compile import start_counts
from natlb.control.compile.programs import place_programs
from natlb.control.config import difference, parse_config, refuse_restart, syntax_of
from natlb.control.config.load import file_name
from natlb.control.programs import changed_services, read_programs
from natlb.control.reading import CONFIGURATION, Quoting
from natlb.control.seed import next_seed
from natlb.model import Reload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from natlb.control.compile.programs import Programs
    from natlb.control.config import Config, Difference
    from natlb.control.desired import Desired
    from natlb.control.intents import Intents
    from natlb.control.reading import FileText

    class Reader(Protocol):
        """Reads a configuration's text, or a program's, with whatever rights that takes."""

        async def __call__(self, path: Path) -> FileText:
            """Return the text. Raises ConfigError."""


class _Read(NamedTuple):
    """What a reload has read."""

    config: Config
    text: str
    path: str
    programs: Programs


class Reloader:
    """Reads configurations and brings them into force, one after the other."""

    def __init__(
        self,
        intents: Intents,
        *,
        read: Reader,
        read_program: Reader,
        reloaded: Callable[[Config], None],
    ) -> None:
        """Reload what these intents are about; `reloaded` is told of each reload."""
        self._intents = intents
        self._read = read
        self._read_program = read_program
        self._reloaded = reloaded
        self._turn = asyncio.Lock()  # taken before that of the intents

    async def reload(self, config: str | None) -> Reload:
        """Put a configuration in force whole, or raise and change nothing."""
        intents = self._intents
        async with self._turn:
            path = config or intents.desired.config_path
            file = await self._read(Path(path))
            with Quoting((file_name(Path(path)),), file.is_quotable, CONFIGURATION).kept():
                new = await asyncio.to_thread(_parse, file.text, path)
            found = difference(intents.desired.config, new)
            refuse_restart(found)
            sources, quoting = await read_programs(new, path, self._read_program)
            programs = place_programs(sources, intents.desired.programs)
            changed = changed_services(intents.desired.programs, programs)
            found = _with_programs(found, changed)
            read = _Read(new, file.text, path, programs)
            with quoting.kept():
                async with intents.publisher.learning(programs) as learned, intents.turn:
                    answer = await self._bring_in(read, found, learned)
        if found:
            words = dataclasses.asdict(answer)
            intents.events.note("configuration_reloaded", path=path, **words)
        else:
            generation = answer.generation
            intents.events.note("configuration_unchanged", path=path, generation=generation)
        return answer

    async def _bring_in(self, read: _Read, found: Difference, learned: bytes | None) -> Reload:
        """Put in force what was read, on top of what is wanted by now; return what that did.

        Only a reload changes configuration and programs, so these differ by what was found.
        """
        before, publisher = self._intents.desired, self._intents.publisher
        seed = await asyncio.to_thread(next_seed, before, read.config)
        desired = before.with_config(
            read.config,
            read.text,
            read.path,
            now_ms=self._intents.memory.now_ms(),
            seed=seed,
            programs=read.programs,
        )
        if found:
            begin = partial(self._start_counts, before, desired)
            await publisher.publish(desired, begin, learned=learned)
        elif (read.text, read.path) != (before.config_text, before.config_path):
            await publisher.keep(dataclasses.replace(desired, generation=before.generation))
        self._reloaded(read.config)
        return self._answer(before, found)

    def _start_counts(self, old: Desired, new: Desired) -> None:
        counters = self._intents.memory.counters
        start_counts(counters, old.indices, old.config, new.indices, new.config)
        self._intents.memory.tally.begin(old.indices, new.indices)

    def _answer(self, before: Desired, found: Difference) -> Reload:
        """Return what a reload did; drained are those that were removed and still have flows."""
        counts = self._intents.memory.counters.backends["current"]
        drained = [
            "/".join(key)
            for key, index in before.indices.backends.items()
            if "/".join(key) in found.removed and counts[index] > 0
        ]
        return Reload(
            generation=self._intents.desired.generation,
            added=list(found.added),
            removed=list(found.removed),
            drained=drained,
            changed=list(found.changed),
        )


def _with_programs(found: Difference, services: list[str]) -> Difference:
    """Return a difference with services whose programs' files have changed."""
    changed = dict.fromkeys((*found.changed, *services))
    return dataclasses.replace(found, changed=tuple(changed))


def _parse(text: str, path: str) -> Config:
    return parse_config(text, file_name(Path(path)), syntax_of(Path(path)))
