"""Run-time changes on the disk: what a stop ends, and `natlb run --resume` brings back.

    STATE/changes-DIGEST.json    one for each configuration file, by a digest of its path

    {"format": 1, "config": "/etc/natlb/natlb.yaml",
     "backends": [{"service": "web", "name": "b1", "state": "draining", "weight": 5},
                  {"service": "web", "name": "b3", "added": "10.77.0.13:8080", "weight": 2},
                  {"service": "web", "name": "b2", "removed": true}]}

Laws
    It is written anew with each change, and whole; where nothing differs from the file it goes.
    A disk that is full or closed is told of once, and holds up nothing but the telling.
    What does not fit any more is told of one by one, and passed over: an instance begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natlb.control.compile import AS_CONFIGURED
from natlb.control.desired import backends_of
from natlb.control.registry import BackendAdded
from natlb.control.replacing import sync_folder
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from natlb.control.desired import Desired
    from natlb.control.events import EventLog

FORMAT = 1
LARGEST = 16 << 20


def place_of(desired: Desired) -> Path:
    """Return where an instance keeps its changes."""
    digest = hashlib.blake2b(desired.config_path.encode(errors="surrogateescape"), digest_size=4)
    return Path(desired.config.state) / f"changes-{digest.hexdigest()}.json"


def changes_of(desired: Desired) -> list[dict[str, object]]:
    """Return what differs from the file, a document for each backend."""
    found: list[dict[str, object]] = [
        {"service": each.service, "name": each.name, "removed": True}
        for each in desired.overlay.removed
    ]
    added = {(each.service, each.name): each for each in desired.overlay.added}
    for key, backend in backends_of(desired.config):
        now, new = desired.run_time.get(key, AS_CONFIGURED), added.get(key)
        words: dict[str, object] = {} if new is None else {"added": new.address}
        if now.state != AS_CONFIGURED.state:
            words["state"] = now.state
        if new is not None or now.weight is not None:
            words["weight"] = now.weight_of(backend)
        if words:
            found.append({"service": key[0], "name": key[1], **words})
    return found


class Keeper:
    """Writes what was changed, each time that something was."""

    def __init__(self, events: EventLog) -> None:
        """Tell of what cannot be written."""
        self._events = events
        self._turn = asyncio.Lock()
        self._failed = False

    async def keep(self, desired: Desired) -> None:
        """Have the disk hold this."""
        async with self._turn:
            try:
                await asyncio.to_thread(_write, desired)
                self._failed = False
            except OSError as error:
                if not self._failed:
                    path, reason = str(place_of(desired)), error.strerror or str(error)
                    self._events.note("changes_not_kept", "warning", path=path, reason=reason)
                self._failed = True


def _write(desired: Desired) -> None:
    """Write the changes, or take the file away where there are none. Raises OSError."""
    place, changes = place_of(desired), changes_of(desired)
    if not changes:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            place.unlink()
        return
    document = {"format": FORMAT, "config": desired.config_path, "backends": changes}
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = place.with_suffix(".new")
    try:
        with new.open("w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    sync_folder(place.parent)


def read_changes(desired: Desired, events: EventLog) -> list[Any]:
    """Return what was kept for this configuration; what cannot be read is told of, and nothing."""
    place = place_of(desired)
    try:
        with place.open("rb") as file:
            document = json.loads(file.read(LARGEST))
        _require_format(document["format"])
        return list(document["backends"])
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        events.note("changes_not_read", "warning", path=str(place), reason=reason)
        return []


def _require_format(number: object) -> None:
    if number != FORMAT:
        raise ValueError(f"format {number}, not {FORMAT}")


def resumed(desired: Desired, changes: list[Any], events: EventLog) -> Desired:
    """Return a new instance's first wish with these changes, as far as they fit.

    Nobody has arrived in a pool that begins with it: slow start is for who comes later.
    """
    now = desired
    for change in changes:
        try:
            now = _with(now, change)
        except (NatlbError, KeyError, TypeError, AttributeError) as error:
            _tell(events, change, str(error))
    settled = {key: replace(each, began_ms=None) for key, each in now.run_time.items()}
    run_time = {key: each for key, each in settled.items() if each != AS_CONFIGURED}
    return replace(now, generation=desired.generation, revision=desired.revision, run_time=run_time)


def without_added(desired: Desired, changes: list[Any], events: EventLog, why: str) -> list[Any]:
    """Return the changes that add nobody: this host cannot reach whom they would add."""
    added = {(each.service, each.name) for each in desired.overlay.added}
    kept = []
    for change in changes:
        if isinstance(change, dict) and (change.get("service"), change.get("name")) in added:
            _tell(events, change, why)
        else:
            kept.append(change)
    return kept


def _with(desired: Desired, change: Any) -> Desired:
    """Return what is wanted with one more change. Raises whatever is wrong with it."""
    service, name = change["service"], change["name"]
    if change.get("removed"):
        desired.backend(service, name)
        return desired.with_overlay(desired.overlay.with_removed(service, name), now_ms=0)
    weight, state = change.get("weight"), change.get("state")
    if "added" in change:
        desired.service(service)
        usual = 1 if weight is None else weight
        new = BackendAdded(service=service, name=name, address=change["added"], weight=usual)
        overlay = desired.overlay.with_added(new, desired.filed)
        desired = desired.with_overlay(overlay, now_ms=0)
    return desired.with_change(service, name, state=state, weight=weight, now_ms=0)


def _tell(events: EventLog, change: Any, reason: str) -> None:
    named = change if isinstance(change, dict) else {}
    service, backend = str(named.get("service", "?")), str(named.get("name", "?"))
    first = reason.splitlines()[0] if reason else "not understood"
    words = {"service": service, "backend": backend, "reason": first}
    events.note("change_not_resumed", "warning", **words)
