"""`config save`: what was changed at run time becomes the file's own, comments and all.

Weights are saved, and backends that were added or removed; a file has no key for states.

Laws
    What is written means what is in force, weights included: it is read back before it is kept.
    A file that is not as it was read is somebody else's work, and is not written over.
    Whatever goes wrong, the file is as it was, and so is what is in force.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.control.compile import AS_CONFIGURED
from natlb.control.config import InvalidConfigError, file_name, read_config, syntax_of
from natlb.control.config.edit import PoolEdit, UnwritableError, edited
from natlb.control.overlay import parse_file, written_of
from natlb.control.replacing import replace_file
from natlb.errors import BusyError, ConfigError, DeniedError, HostError
from natlb.model import Saved

if TYPE_CHECKING:
    from natlb.control.config.values import Config
    from natlb.control.desired import Desired, Revisions
    from natlb.control.intents import Intents

MARK = b"\xef\xbb\xbf"  # of UTF-8, which `read_config` leaves out


@dataclass(frozen=True, slots=True)
class _Draft:
    """A file's text with the changes in it, and what it means."""

    text: str
    config: Config


class Saver:
    """Writes what is in force into the configuration file."""

    def __init__(self, intents: Intents, turn: asyncio.Lock) -> None:
        """Save what these intents are about; `turn` is that of all who change configurations."""
        self._intents = intents
        self._turn = turn

    async def save(self, *, dry_run: bool, revisions: Revisions = None) -> Saved:
        """Return what the file has now and had not before; with `dry_run`, what it would have.

        Raises BusyError where the file is another than was read, DeniedError where natlb may not
        write it, ConfigError where it cannot say this by a small change.
        """
        intents = self._intents
        async with self._turn, intents.turn:
            before = intents.desired
            before.require(revisions)
            path = Path(before.config_path)
            saved = Saved(
                config=before.config_path,
                changes=[each for each in before.changes() if each.field != "state"],
            )
            if not saved.changes:
                return saved
            draft = await asyncio.to_thread(_drafted, before)
            await asyncio.to_thread(_require_unchanged, path, before.config_text)
            if dry_run:
                return saved
            await asyncio.to_thread(_write, path, draft.text)
            after = before.with_config(
                draft.config, draft.text, before.config_path, now_ms=intents.memory.now_ms()
            )
            await intents.publisher.keep(replace(after, generation=before.generation))
        names = [f"{each.backend} {each.field}" for each in saved.changes]
        intents.events.note("changes_saved", path=saved.config, changes=names)
        return saved


def _drafted(desired: Desired) -> _Draft:
    """Return the text to write. Raises ConfigError."""
    path = desired.config_path
    try:
        text = edited(desired.config_text, syntax_of(Path(path)), _edits(desired))
        config = parse_file(text, path)
    except UnwritableError as error:
        raise _by_hand(path, str(error)) from None
    except InvalidConfigError:
        raise _by_hand(path, "what would be written cannot be read") from None
    if config != _in_force(desired):
        raise _by_hand(path, "something else in it would change as well")
    return _Draft(text, config)


def _by_hand(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{file_name(Path(path))} cannot be changed so that all else stays: {reason}",
        fix="natlb status lists what to write there; then natlb reload",
    )


def _edits(desired: Desired) -> dict[str, PoolEdit]:
    """Return what to change in each service of the file, by places in its list."""
    edits = {}
    for service in desired.filed.services.values():
        removed = {e.name for e in desired.overlay.removed if e.service == service.name}
        weights = {}
        for number, backend in enumerate(service.backends):
            now = desired.run_time.get((service.name, backend.name), AS_CONFIGURED)
            if backend.name not in removed and now.weight_of(backend) != backend.weight:
                weights[number] = now.weight_of(backend)
        edit = PoolEdit(
            weights=weights,
            removed=frozenset(n for n, e in enumerate(service.backends) if e.name in removed),
            added=_added(desired, service.name),
        )
        if edit.weights or edit.removed or edit.added:
            edits[service.name] = edit
    return edits


def _added(desired: Desired, service: str) -> list[dict[str, object]]:
    """Return the backends that were added to a service, with the weights they have by now."""
    found = []
    for each in desired.overlay.added:
        if each.service == service:
            now = desired.run_time.get((service, each.name), AS_CONFIGURED)
            weight = each.weight if now.weight is None else now.weight
            found.append(written_of(replace(each, weight=weight)))
    return found


def _in_force(desired: Desired) -> Config:
    """Return the configuration with the weights of now."""
    services = {}
    for name, service in desired.config.services.items():
        pool = tuple(
            replace(
                backend,
                weight=desired.run_time.get((name, backend.name), AS_CONFIGURED).weight_of(backend),
            )
            for backend in service.backends
        )
        services[name] = replace(service, backends=pool)
    return replace(desired.config, services=services)


def _require_unchanged(path: Path, text: str) -> None:
    """Raise BusyError unless the file still says what was read from it, DeniedError unseen."""
    if path.exists() and not os.access(path, os.R_OK):
        raise _denied(path)
    if read_config(path) != text:
        raise BusyError(
            f"{file_name(path)} has been changed since it was read",
            fix="natlb reload (what was changed at run time stays), then natlb config save",
        )


def _write(path: Path, text: str) -> None:
    """Write a file anew. Raises DeniedError, HostError."""
    name = file_name(path)
    try:
        with path.open("rb") as file:
            mark = MARK if file.read(len(MARK)) == MARK else b""
        replace_file(path, mark + text.encode())
    except PermissionError:
        raise _denied(path) from None
    except OSError as error:
        raise HostError(f"cannot write {name}: {error.strerror}") from None


def _denied(path: Path) -> DeniedError:
    return DeniedError(
        f"natlb's control process, user {os.getuid()}, may not write {file_name(path)} anew",
        fix="natlb status lists what to write there; then natlb reload",
    )
