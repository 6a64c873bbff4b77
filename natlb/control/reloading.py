"""A reload: a configuration in force whole, or an error and nothing changed.

It begins with what may take long and changes nothing, reading and learning; intents come between,
and what they did is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from natlb.control.compile.programs import place_programs
from natlb.control.config import difference, refuse_restart
from natlb.control.config.load import file_name
from natlb.control.intents import to_reset
from natlb.control.overlay import laid_over, parse_file
from natlb.control.programs import changed_services, read_programs
from natlb.control.reading import CONFIGURATION, Quoting
from natlb.control.seed import next_seed
from natlb.errors import ConfigError
from natlb.model import Reload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from natlb.control.compile.programs import Programs
    from natlb.control.config import Config, Difference
    from natlb.control.desired import Desired, Revisions
    from natlb.control.intents import Intents
    from natlb.control.overlay import Overlay
    from natlb.control.reading import FileText

    class Reader(Protocol):
        """Reads a configuration's text, or a program's, with whatever rights that takes."""

        async def __call__(self, path: Path) -> FileText:
            """Return the text. Raises ConfigError."""


class _Read(NamedTuple):
    """What a reload has read: `config` is `file` with what lies over it."""

    config: Config
    file: Config
    overlay: Overlay
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
        self.turn = asyncio.Lock()  # who changes the configuration; taken before the intents'

    async def reload(
        self, config: str | None, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Reload:
        """Put a configuration in force whole, or raise and change nothing.

        With `dry_run` nothing is changed in any case; the host alone is not asked.
        """
        intents = self._intents
        async with self.turn:
            intents.desired.require(revisions)
            read, found, quoting = await self._read_all(config)
            with quoting.kept(), suppress(_OnlyTriedError):
                async with intents.publisher.learning(read.programs) as learned, intents.turn:
                    intents.desired.require(revisions)
                    if dry_run:
                        raise _OnlyTriedError
                    answer = await self._bring_in(read, found, learned)
            if dry_run:
                generation = intents.desired.generation + bool(found)
                return self._answer(intents.desired, read.config, found, generation)
        if found:
            words = dataclasses.asdict(answer)
            intents.events.note("configuration_reloaded", path=read.path, **words)
        else:
            generation = answer.generation
            intents.events.note("configuration_unchanged", path=read.path, generation=generation)
        return answer

    async def _read_all(self, config: str | None) -> tuple[_Read, Difference, Quoting]:
        """Return what is to come into force, and how that differs from what is."""
        now = self._intents.desired
        path = config or now.config_path
        text = await self._read(Path(path))
        with Quoting((file_name(Path(path)),), text.is_quotable, CONFIGURATION).kept():
            file = await asyncio.to_thread(parse_file, text.text, path)
        overlay = now.overlay.still_over(file)
        new = await asyncio.to_thread(_laid_over, file, text.text, path, overlay)
        found = difference(now.config, new)
        refuse_restart(found)
        sources, quoting = await read_programs(new, path, self._read_program)
        programs = place_programs(sources, now.programs)
        found = _with_programs(found, changed_services(now.programs, programs))
        return _Read(new, file, overlay, text.text, path, programs), found, quoting

    async def _bring_in(self, read: _Read, found: Difference, learned: bytes | None) -> Reload:
        """Put in force what was read, on top of what is wanted by now; return what that did.

        Who changes configuration or programs waits for `turn`, so these differ by what was found.
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
            file=read.file,
            overlay=read.overlay,
        )
        if found:
            await self._intents.configure(desired, learned=learned)
        elif (read.text, read.path) != (before.config_text, before.config_path):
            await publisher.keep(dataclasses.replace(desired, generation=before.generation))
        self._reloaded(read.config)
        return self._answer(before, read.config, found, self._intents.desired.generation)

    def _answer(self, before: Desired, after: Config, found: Difference, generation: int) -> Reload:
        """Return what a reload does; drained are those that go and have flows that may go on."""
        counted = [each.backends["current"] for each in self._intents.memory.counters]
        reset = to_reset(before.config, after)
        drained = [
            "/".join(key)
            for key, index in before.indices.backends.items()
            if "/".join(key) in found.removed
            and key not in reset
            and any(counts[index] > 0 for counts in counted)
        ]
        return Reload(
            generation=generation,
            added=list(found.added),
            removed=list(found.removed),
            drained=drained,
            changed=list(found.changed),
        )


class _OnlyTriedError(Exception):
    """What was to be tried was, and goes no further."""


def _laid_over(file: Config, text: str, path: str, overlay: Overlay) -> Config:
    """Return a file's configuration with what was added and removed at run time.

    Raises ConfigError where the file has no room for it any more.
    """
    try:
        return laid_over(file, text, path, overlay)
    except ConfigError as error:
        names = ", ".join(f"{each.service}/{each.name}" for each in overlay.added)
        message = f"with what was added at run time ({names}): {error.message}"
        raise ConfigError(message, fix="natlb remove SERVICE/BACKEND, then reload") from None


def _with_programs(found: Difference, services: list[str]) -> Difference:
    """Return a difference with services whose programs' files have changed."""
    changed = dict.fromkeys((*found.changed, *services))
    return dataclasses.replace(found, changed=tuple(changed))
