"""Backends added to a running pool and removed from it, without a change of the file.

Either is checked as a configuration that says so would be, by the file's own rules, and comes into
force as a reload does: whole, or not at all. The last backend of a pool may go: its service then
answers as `no_backend` says.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from natlb.control.config.problems import quoted
from natlb.control.desired import USUAL_WEIGHT
from natlb.control.overlay import backend_of
from natlb.control.registry import BackendAdded
from natlb.errors import TakenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.desired import Desired, Revisions
    from natlb.control.intents import Intents
    from natlb.control.overlay import Overlay

    Change = Callable[..., Desired]


class Membership:
    """Changes who is in a pool, one change after the other."""

    def __init__(self, intents: Intents, turn: asyncio.Lock) -> None:
        """Change what these intents are about; `turn` is that of all who change configurations."""
        self._intents = intents
        self._turn = turn

    async def add(
        self,
        service: str,
        address: str,
        *,
        name: str | None,
        weight: int | None,
        dry_run: bool,
        revisions: Revisions = None,
    ) -> Desired:
        """Return what is wanted once the backend is there; with `dry_run`, what would be.

        Raises ConfigError where a file that names it would be refused, TakenError where it is there
        already, HostError where this host cannot reach it.
        """
        called = address if name is None else name
        usual = USUAL_WEIGHT if weight is None else weight
        new = BackendAdded(service=service, name=called, address=address, weight=usual)
        async with self._turn:
            now = self._intents.desired
            now.require(revisions)
            now.service(service)
            if backend_of(now.config, service, called) is not None:
                raise TakenError(
                    f"a backend {quoted(called)} of {service} is already there",
                    fix=f"natlb add {service} ADDRESS --name ANOTHER",
                )
            overlay = now.overlay.with_added(new, now.filed)
            change = partial(_with_weight, service=service, name=called, weight=weight)
            desired = await self._bring_in(overlay, change, dry_run=dry_run, revisions=revisions)
        if not dry_run:
            self._intents.events.note(
                "backend_added", service=service, backend=called, address=address, weight=weight
            )
        return desired

    async def remove(
        self, service: str, name: str, *, dry_run: bool, revisions: Revisions = None
    ) -> Desired:
        """Return what is wanted once the backend gets no more flows; with `dry_run`, would be.

        Those that it has go on or are reset, as its service's `on_remove` says.
        """
        async with self._turn:
            now = self._intents.desired
            now.require(revisions)
            now.backend(service, name)
            overlay = now.overlay.with_removed(service, name)
            desired = await self._bring_in(overlay, dry_run=dry_run, revisions=revisions)
        if not dry_run:
            words = desired.config.services[service].on_remove
            self._intents.events.note(
                "backend_removed", service=service, backend=name, on_remove=words
            )
        return desired

    async def _bring_in(
        self,
        overlay: Overlay,
        change: Change | None = None,
        *,
        dry_run: bool,
        revisions: Revisions,
    ) -> Desired:
        """Put this over the file, on top of what is wanted by then."""
        intents = self._intents
        if dry_run:
            return await self._wanted(overlay, change)
        async with intents.turn:
            intents.desired.require(revisions)
            await intents.configure(await self._wanted(overlay, change))
            return intents.desired

    async def _wanted(self, overlay: Overlay, change: Change | None) -> Desired:
        desired, now_ms = self._intents.desired, self._intents.memory.now_ms()
        wanted = await asyncio.to_thread(desired.with_overlay, overlay, now_ms=now_ms)
        return change(wanted, now_ms=now_ms) if change else wanted


def _with_weight(
    desired: Desired, *, service: str, name: str, weight: int | None, now_ms: int
) -> Desired:
    """Return the same with this weight, also of a backend that the file gives another."""
    return desired.with_change(service, name, state=None, weight=weight, now_ms=now_ms)
