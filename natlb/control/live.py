"""The running instance, as the API asks it: snapshots are read, intents become generations.

Each intent goes the whole way before the next begins. A reload begins with what may take long and
changes nothing, reading and learning; others come between, and what they did is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from natlb import __version__
from natlb.control import flush
from natlb.control.compile import Snapshot, start_counts
from natlb.control.compile.programs import place_programs
from natlb.control.compile.requests import check_filter, flush_commands
from natlb.control.compile.shadows import fallbacks_of
from natlb.control.config import difference, parse_config, refuse_restart, syntax_of
from natlb.control.config.load import file_name
from natlb.control.fallbacks import Fallbacks
from natlb.control.held import held_by_flows
from natlb.control.programs import changed_services, read_programs
from natlb.control.rates import Rates
from natlb.control.reading import CONFIGURATION, Quoting
from natlb.control.seed import next_seed
from natlb.errors import UnknownNameError, WaitTimeoutError
from natlb.model import (
    FlowFilter,
    Flush,
    ProcessIds,
    Reload,
    ServiceStatus,
    Status,
    WorkerStatistics,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from natlb.control.compile.programs import Programs
    from natlb.control.config import Config, Difference
    from natlb.control.desired import Desired
    from natlb.control.mapped import Mapped
    from natlb.control.messages import Processes
    from natlb.control.publish import Publisher
    from natlb.control.reading import FileText
    from natlb.control.worker_link import WorkerLink
    from natlb.model import Backend, BackendStateName, Flow, Service, Statistics

    class Reader(Protocol):
        """Reads a configuration's text, or a program's, with whatever rights that takes."""

        async def __call__(self, path: Path) -> FileText:
            """Return the text. Raises ConfigError."""


SECONDS_TO_FLUSH = 10.0
SECONDS_A_LOOK = 0.002

log = structlog.get_logger()


class _Read(NamedTuple):
    """What a reload has read."""

    config: Config
    text: str
    path: str
    programs: Programs


class LiveInstance:
    """Keeps `control.instance.Instance` over real workers."""

    def __init__(
        self,
        publisher: Publisher,
        worker: WorkerLink,
        memory: Mapped,
        *,
        read: Reader,
        read_program: Reader,
        reloaded: Callable[[Config], None],
    ) -> None:
        """Answer for what the publisher brings into force; `reloaded` is told of each reload."""
        self.processes: Processes | None = None
        self._publisher = publisher
        self._worker = worker
        self._memory = memory
        self._read = read
        self._read_program = read_program
        self._reloaded = reloaded
        self._rates = Rates()
        self._fallbacks = Fallbacks()
        self._intent = asyncio.Lock()
        self._reload = asyncio.Lock()  # taken before the other

    @property
    def _desired(self) -> Desired:
        return self._publisher.desired

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._desired.config

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            config=self._desired.config,
            indices=self._desired.indices,
            run_time=self._desired.run_time,
            tables=self._publisher.tables,
            flows=[self._memory.flows],
            counters=[self._memory.counters],
            now_ms=self._memory.now_ms(),
        )

    async def status(self) -> Status:
        """Return whether packets are forwarded, and by what."""
        now = self.processes
        services = self._snapshot().list_services({})
        return Status(
            ready=bool(now and now.ready),
            version=__version__,
            engine="compiled" if now is None or now.compiled else "interpreted",
            driver="tun",
            generation=self._desired.generation,
            config=self._desired.config_path,
            pid=self._pids(),
            services=[
                ServiceStatus(name=each.name, up=each.backends.up, total=each.backends.total)
                for each in services
            ],
            changes=self._desired.changes(),
        )

    async def services(self) -> list[Service]:
        """Return the services in the order of the configuration."""
        return self._snapshot().list_services(self._rates.per_second())

    async def backends(self, service: str | None) -> list[Backend]:
        """Return the backends of one service, or of all."""
        if service is not None and service not in self._desired.config.services:
            known = ", ".join(self._desired.config.services)
            raise UnknownNameError(f"no service '{service}'; there are {known}")
        return await asyncio.to_thread(self._snapshot().list_backends, service)

    async def flows(self, wanted: FlowFilter, limit: int | None) -> list[Flow]:
        """Return the flows that the filter names."""
        check_filter(self._desired.indices, wanted)
        return await asyncio.to_thread(self._snapshot().list_flows, wanted, limit)

    async def stats(self) -> Statistics:
        """Return all counters."""
        now = self.processes
        worker = WorkerStatistics(
            index=0, pid=now.worker if now else 0, restarts=now.restarts if now else 0
        )
        return self._snapshot().statistics(
            generation=self._desired.generation,
            uptime_seconds=(time.monotonic_ns() - self._desired.started_ns) / 1e9,
            workers=[worker],
        )

    def _pids(self) -> ProcessIds:
        now = self.processes
        return ProcessIds(
            supervisor=now.supervisor if now else 0,
            control=os.getpid(),
            workers=[now.worker] if now and now.worker else [],
        )

    async def reload(self, config: str | None) -> Reload:
        """Put a configuration in force whole, or raise and change nothing."""
        async with self._reload:
            path = config or self._desired.config_path
            file = await self._read(Path(path))
            with Quoting((file_name(Path(path)),), file.is_quotable, CONFIGURATION).kept():
                new = await asyncio.to_thread(_parse, file.text, path)
            found = difference(self._desired.config, new)
            refuse_restart(found)
            sources, quoting = await read_programs(new, path, self._read_program)
            programs = place_programs(sources, self._desired.programs)
            found = _with_programs(found, changed_services(self._desired.programs, programs))
            read = _Read(new, file.text, path, programs)
            with quoting.kept():
                async with self._publisher.learning(programs) as learned, self._intent:
                    answer = await self._bring_in(read, found, learned)
        if found:
            log.info("configuration_reloaded", path=path, **dataclasses.asdict(answer))
        else:
            log.info("configuration_unchanged", path=path, generation=answer.generation)
        return answer

    async def _bring_in(self, read: _Read, found: Difference, learned: bytes | None) -> Reload:
        """Put in force what was read, on top of what is wanted by now; return what that did.

        Only a reload changes configuration and programs, so these differ by what was found.
        """
        before, publisher = self._desired, self._publisher
        seed = await asyncio.to_thread(next_seed, before, read.config)
        desired = before.with_config(
            read.config,
            read.text,
            read.path,
            now_ms=self._memory.now_ms(),
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
        start_counts(self._memory.counters, old.indices, old.config, new.indices, new.config)

    def _answer(self, before: Desired, found: Difference) -> Reload:
        """Return what a reload did; drained are those that were removed and still have flows."""
        counts = self._memory.counters.backends["current"]
        drained = [
            "/".join(key)
            for key, index in before.indices.backends.items()
            if "/".join(key) in found.removed and counts[index] > 0
        ]
        return Reload(
            generation=self._desired.generation,
            added=list(found.added),
            removed=list(found.removed),
            drained=drained,
            changed=list(found.changed),
        )

    async def set_backend(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
    ) -> Backend:
        """Return the backend once it has this state and weight; maint also resets its flows."""
        async with self._intent:
            now_ms = self._memory.now_ms()
            desired = self._desired.with_change(
                service, name, state=state, weight=weight, now_ms=now_ms
            )
            if desired is not self._desired:
                await self._publisher.publish(desired)
                given = {"state": state, "weight": weight}
                words = {key: value for key, value in given.items() if value is not None}
                log.info("backend_changed", backend=f"{service}/{name}", **words)
            if state == "maint":
                await self._flush(FlowFilter(service=service, backend=name), reset=True)
        pool = await self.backends(service)
        return next(backend for backend in pool if backend.name == name)

    async def flush(self, wanted: FlowFilter, *, reset: bool) -> Flush:
        """Drop the flows that the filter names; with `reset`, TCP is told at both ends."""
        async with self._intent:
            done = await self._flush(wanted, reset=reset)
        log.info("flows_flushed", flushed=done.flushed, resets=done.resets)
        return done

    async def _flush(self, wanted: FlowFilter, *, reset: bool) -> Flush:
        flushed = resets = 0
        for command in flush_commands(self._desired.indices, wanted, reset=reset):
            done = await self._await_outcome(flush.give(self._memory.commands, command))
            flushed, resets = flushed + done.flushed, resets + done.resets
        return Flush(flushed=flushed, resets=resets)

    async def _await_outcome(self, number: int) -> Flush:
        self._worker.wake()
        deadline = time.monotonic() + SECONDS_TO_FLUSH
        while (done := flush.outcome(self._memory.commands, number)) is None:
            if time.monotonic() > deadline:
                raise WaitTimeoutError(f"no worker flushed within {SECONDS_TO_FLUSH:g} s")
            await asyncio.sleep(SECONDS_A_LOOK)
        return done

    def read_rates(self, now: float) -> None:
        """Read the counts whose rates are shown; to be called every second or so."""
        snapshot = self._snapshot()
        opened = {name: snapshot.flows_opened(name) for name in self._desired.config.services}
        self._rates.note(now, opened)
        services = self._desired.config.services.values()
        counted = {
            each.name: fallbacks_of(each, self._desired.indices, [self._memory.counters])
            for each in services
        }
        counts = {name: count for name, count in counted.items() if count is not None}
        for name, times in self._fallbacks.note(now, counts).items():
            log.warning("policy_fell_back", service=name, times=times, to="weighted-round-robin")

    async def forget_unneeded(self) -> None:
        """Give up what was kept for flows that have ended: numbers and addresses.

        Judged by the workers' own table, once they read tables by which nothing new can take it up.
        """
        desired = self._desired
        if not desired.keeps_for_flows or self._worker.reading != desired.generation:
            return
        held = await asyncio.to_thread(held_by_flows, [self._memory.flows], desired.retired)
        async with self._intent:
            less = desired.without(held)
            if desired is self._desired and less != desired:
                await self._publisher.keep(less)
                log.info(
                    "drained", backends=len(desired.indices.backends) - len(less.indices.backends)
                )


def _with_programs(found: Difference, services: list[str]) -> Difference:
    """Return a difference with services whose programs' files have changed."""
    changed = dict.fromkeys((*found.changed, *services))
    return dataclasses.replace(found, changed=tuple(changed))


def _parse(text: str, path: str) -> Config:
    return parse_config(text, file_name(Path(path)), syntax_of(Path(path)))
