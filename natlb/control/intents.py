"""What is changed at run time, one thing after the other: each intent is a generation of its own.

    set_backend    an operator's states and weights
    configure      another configuration, or other backends in it
    set_health     what checks and the wire found, many at once
    flush          flows dropped, by command
    forget         what is kept for flows that are over
    follow_host    the host's ways out, which changed

An intent goes the whole way, to workers that read its tables, before the next one begins (`turn`).
One that is meant for certain revisions is judged in its turn: of two at one time the second is
refused.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from natlb.control import flush
from natlb.control.compile import start_counts
from natlb.control.compile.requests import flush_commands
from natlb.control.compile.run_time import AS_CONFIGURED
from natlb.control.held import held_by_flows
from natlb.errors import BusyError, WaitTimeoutError
from natlb.model import FlowFilter, Flush

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.config import Config
    from natlb.control.desired import BackendKey, Desired, Revisions
    from natlb.control.events import EventLog
    from natlb.control.mapped import Mapped
    from natlb.control.publish import Publisher
    from natlb.control.worker_link import WorkerLinks
    from natlb.core.commands import Commands
    from natlb.model import BackendStateName, HealthName

SECONDS_TO_FLUSH = 10.0
SECONDS_A_LOOK = 0.002


class Intents:
    """Brings changes into force over a publisher, and flows to their end over the workers."""

    def __init__(
        self, publisher: Publisher, workers: WorkerLinks, memory: Mapped, events: EventLog
    ) -> None:
        """Change what this publisher has in force."""
        self.turn = asyncio.Lock()
        self.publisher = publisher
        self.memory = memory
        self.events = events
        self._workers = workers

    @property
    def desired(self) -> Desired:
        """What is wanted at the moment."""
        return self.publisher.desired

    async def set_backend(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None,
        weight: int | None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Desired:
        """Give a backend this state and weight; `maint` also resets its flows.

        Return what is wanted then; with `dry_run`, what would be.
        """
        async with self.turn:
            self.desired.require(revisions)
            now_ms = self.memory.now_ms()
            desired = self.desired.with_change(
                service, name, state=state, weight=weight, now_ms=now_ms
            )
            if dry_run:
                return desired
            if desired is not self.desired:
                await self._publish(desired)
                given: dict[str, Any] = {"state": state, "weight": weight}
                words = {key: value for key, value in given.items() if value is not None}
                self.events.note("backend_changed", service=service, backend=name, **words)
            if state == "maint":
                await self._flush(FlowFilter(service=service, backend=name), reset=True)
            return self.desired

    async def configure(self, desired: Desired, *, learned: bytes | None = None) -> None:
        """Bring another configuration into force, whose turn it is; `learned` as for a publisher.

        Flows of backends that are not in it any more are reset where their service says so.
        """
        before = self.desired
        begin = partial(self._start_counts, before, desired)
        await self.publisher.publish(desired, begin, learned=learned)
        for service, name in to_reset(before.config, desired.config):
            try:
                await self._flush(FlowFilter(service=service, backend=name), reset=True)
            except (BusyError, WaitTimeoutError) as error:
                words = {"service": service, "backend": name, "reason": error.message}
                self.events.note("flows_not_reset", "warning", **words)

    def _start_counts(self, old: Desired, new: Desired) -> None:
        """Have nothing counted under numbers that others had."""
        for counters in self.memory.counters:
            start_counts(counters, old.indices, old.config, new.indices, new.config)
        self.memory.tally.begin(old.indices, new.indices)

    async def set_health(self, found: Mapping[BackendKey, HealthName]) -> bool:
        """Have these backends' health known; return whether that was news.

        All at once, in one generation, or in none where workers would see no difference: who was
        unknown served like up. A name that has left the configuration meanwhile is passed over. Who
        looked says why, in an event of its own.
        """
        async with self.turn:
            desired = self.desired.with_health(found, now_ms=self.memory.now_ms())
            if desired is self.desired:
                return False
            await self._publish(desired)
        return True

    async def _publish(self, desired: Desired) -> None:
        """Bring a change at run time into force, and count what backends turn to by it."""
        before = self.desired
        if before.serves_as(desired):
            await self.publisher.keep(replace(desired, generation=before.generation))
        else:
            await self.publisher.publish(desired)
        counted = before.run_time, desired.run_time
        self.memory.tally.turned(desired.indices, *counted, AS_CONFIGURED)

    async def flush(self, wanted: FlowFilter, *, reset: bool, revisions: Revisions = None) -> Flush:
        """Drop the flows that an operator names; with `reset`, TCP is told at both ends."""
        done = await self.drop(wanted, reset=reset, revisions=revisions)
        self.events.note("flows_flushed", flushed=done.flushed, resets=done.resets)
        return done

    async def drop(self, wanted: FlowFilter, *, reset: bool, revisions: Revisions = None) -> Flush:
        """Drop the flows that the filter names; whoever wants it tells why."""
        async with self.turn:
            self.desired.require(revisions)
            return await self._flush(wanted, reset=reset)

    async def _flush(self, wanted: FlowFilter, *, reset: bool) -> Flush:
        flushed = resets = 0
        for command in flush_commands(self.desired.indices, wanted, reset=reset):
            for done in await self._have_done(command):
                flushed, resets = flushed + done.flushed, resets + done.resets
        return Flush(flushed=flushed, resets=resets)

    async def _have_done(self, command: Any) -> list[Flush]:
        """Return what every worker did for a command: whose flow is whose is theirs to know."""
        given = [(ring, flush.give(ring, command)) for ring in self.memory.commands]
        self._workers.wake()
        deadline = time.monotonic() + SECONDS_TO_FLUSH
        return [await self._await_outcome(*each, deadline) for each in given]

    async def _await_outcome(self, ring: Commands, number: int, deadline: float) -> Flush:
        while (done := flush.outcome(ring, number)) is None:
            if time.monotonic() > deadline:
                raise WaitTimeoutError(f"no worker flushed within {SECONDS_TO_FLUSH:g} s")
            await asyncio.sleep(SECONDS_A_LOOK)
        return done

    async def forget_unneeded(self) -> None:
        """Give up what was kept for flows that have ended: numbers and addresses.

        Judged by the flow tables, once all workers read tables by which nothing new can take it
        up.
        """
        desired = self.desired
        if not desired.keeps_for_flows or self._workers.reading != desired.generation:
            return
        held = await asyncio.to_thread(held_by_flows, self.memory.flows, desired.retired)
        async with self.turn:
            less = desired.without(held)
            if desired is self.desired and less != desired:
                await self.publisher.keep(less)
                forgotten = len(desired.indices.backends) - len(less.indices.backends)
                self.events.note("backend_numbers_freed", backends=forgotten)

    async def follow_host(self) -> None:
        """Have workers read tables by the host's ways out, where these are others by now."""
        async with self.turn:
            if self.publisher.is_outdated:
                await self.publisher.publish(self.desired.again())

    async def confirm_host(self) -> None:
        """Have the supervisor know what is wanted of the host: a new one knows the plan alone."""
        async with self.turn:
            await self.publisher.confirm_host()


def to_reset(before: Config, after: Config) -> list[BackendKey]:
    """Return the backends that left with a configuration and do not drain.

    Whether they do is said by their service as it is now, or as it was if it is gone too.
    """
    found = []
    for service in before.services.values():
        now = after.services.get(service.name)
        there = {backend.name for backend in now.backends} if now else set()
        if (now or service).on_remove == "reset":
            gone = (backend.name for backend in service.backends if backend.name not in there)
            found += [(service.name, name) for name in gone]
    return found
