"""The running instance, as the API asks it: snapshots are read here, changes go to `intents`."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from natlb import __version__
from natlb.control.compile import Snapshot
from natlb.control.compile.requests import check_filter
from natlb.control.compile.shadows import fallbacks_of
from natlb.control.compile.views import uncounted
from natlb.control.fallbacks import Fallbacks
from natlb.control.health.evidence import PassiveWatch
from natlb.control.health.probe import probe
from natlb.control.health.watch import HealthWatch
from natlb.control.intents import Intents
from natlb.control.keeping import Keeper
from natlb.control.measures import measure
from natlb.control.membership import Membership
from natlb.control.rates import Rates
from natlb.control.reloading import Reloader
from natlb.control.saving import Saver
from natlb.core.layout import CURRENT
from natlb.errors import ChangedError, NatlbError
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
    from collections.abc import Awaitable, Callable, Mapping

    from natlb.control.config import Config
    from natlb.control.desired import Desired, Revisions
    from natlb.control.events import EventLog
    from natlb.control.health.watch import Ask
    from natlb.control.mapped import Mapped
    from natlb.control.measures import Measures
    from natlb.control.messages import Processes
    from natlb.control.publish import Publisher
    from natlb.control.reloading import Reader
    from natlb.control.worker_link import WorkerLinks
    from natlb.model import (
        Backend,
        BackendStateName,
        CheckHistory,
        CheckReport,
        Flow,
        Saved,
        Service,
        Statistics,
    )


class LiveInstance:
    """Keeps `control.instance.Instance` over real workers."""

    def __init__(
        self,
        publisher: Publisher,
        workers: WorkerLinks,
        memory: Mapped,
        events: EventLog,
        processes: Mapping[int, Processes],
        *,
        read: Reader,
        read_program: Reader,
        read_access: Callable[[Config], Awaitable[Callable[[], None]]],
        reloaded: Callable[[Config], None],
        ask: Ask = probe,
    ) -> None:
        """Answer for what the publisher brings into force; `reloaded` is told of each reload.

        `processes` says by the workers' numbers who is at work, and changes meanwhile.
        `read_access` reads who may call the API; what it returns puts that in force. `ask` makes a
        check, wherever it has to be made.
        """
        self._processes = processes
        self._publisher = publisher
        self._memory = memory
        self._events = events
        self._intents = Intents(publisher, workers, memory, events)
        self._reloader = Reloader(
            self._intents, read=read, read_program=read_program, reloaded=reloaded
        )
        self._membership = Membership(self._intents, self._reloader.turn)
        self._saver = Saver(self._intents, self._reloader.turn)
        self.health = HealthWatch(self._intents, ask)
        self.evidence = PassiveWatch(self._intents, self.health.arbiter)
        self._read_access = read_access
        self._keeper = Keeper(events)
        self._rates = Rates()
        self._fallbacks = Fallbacks()

    @property
    def _desired(self) -> Desired:
        return self._publisher.desired

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._desired.config

    @property
    def revision(self) -> int:
        """How often what is wanted was changed by somebody; health does not count."""
        return self._desired.revision

    def _snapshot(self, desired: Desired | None = None) -> Snapshot:
        """Return what is now; or what would be, by another `desired`."""
        wanted = desired or self._desired
        return Snapshot(
            config=wanted.config,
            indices=wanted.indices,
            run_time=wanted.run_time,
            tables=self._publisher.tables,
            flows=self._memory.flows,
            counters=self._memory.counters,
            now_ms=self._memory.now_ms(),
            checks=self.health.histories.last(),
        )

    @property
    def events(self) -> EventLog:
        """What was changed and noticed lately."""
        return self._events

    async def status(self) -> Status:
        """Return whether packets are forwarded, and by what."""
        now = self._known()
        services = self._snapshot().list_services({})
        return Status(
            ready=bool(now) and all(each.ready for each in now),
            version=__version__,
            engine="compiled" if all(each.compiled for each in now) else "interpreted",
            driver=self._publisher.driver,
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
        if service is not None:
            self._desired.service(service)
        return await asyncio.to_thread(self._snapshot().list_backends, service)

    async def flows(self, wanted: FlowFilter, limit: int | None) -> list[Flow]:
        """Return the flows that the filter names."""
        check_filter(self._desired.indices, wanted)
        return await asyncio.to_thread(self._snapshot().list_flows, wanted, limit)

    async def stats(self) -> Statistics:
        """Return all counters."""
        workers = [
            WorkerStatistics(index=each.index, pid=each.worker, restarts=each.restarts)
            for each in self._known()
        ]
        return self._snapshot().statistics(
            generation=self._desired.generation,
            uptime_seconds=(time.monotonic_ns() - self._desired.started_ns) / 1e9,
            workers=workers,
            peak_seen=self._peak_seen(),
        )

    async def measures(self) -> Measures:
        """Return all that metrics tell, read in a thread: the loop goes on meanwhile."""
        snapshot = self._snapshot()
        return await asyncio.to_thread(
            measure,
            snapshot,
            status=await self.status(),
            statistics=await self.stats(),
            tally=self._memory.tally,
        )

    def _pids(self) -> ProcessIds:
        now = self._known()
        return ProcessIds(
            supervisor=now[0].supervisor if now else 0,
            control=os.getpid(),
            workers=[each.worker for each in now if each.worker],
        )

    def _known(self) -> list[Processes]:
        """Return who is at work, in the order of the workers' numbers."""
        return [said for _, said in sorted(self._processes.items())]

    async def reload(
        self, config: str | None, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Reload:
        """Put a configuration in force whole, or raise and change nothing."""
        try:
            admit = await self._read_access(self.config)  # a reload cannot change where that stands
            done = await self._reloader.reload(config, dry_run=dry_run, revisions=revisions)
        except NatlbError as error:
            if not dry_run and not isinstance(error, ChangedError):
                self._memory.tally.reloaded(well=False)
                self._events.note("reload_refused", "error", reason=error.message, fix=error.fix)
            raise
        if not dry_run:
            self._memory.tally.reloaded(well=True)
            admit()
            await self._keeper.keep(self._desired)
        return done

    async def set_backend(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Backend:
        """Return the backend once it has this state and weight; maint also resets its flows."""
        desired = await self._intents.set_backend(
            service, name, state=state, weight=weight, dry_run=dry_run, revisions=revisions
        )
        if not dry_run:
            await self._keeper.keep(self._desired)
        return self._snapshot(desired).backend(service, name)

    async def add_backend(
        self,
        service: str,
        address: str,
        *,
        name: str | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Backend:
        """Return a backend once it is in the pool; by default its address is its name."""
        desired = await self._membership.add(
            service, address, name=name, weight=weight, dry_run=dry_run, revisions=revisions
        )
        if not dry_run:
            await self._keeper.keep(self._desired)
        added = self._snapshot(desired).backend(service, address if name is None else name)
        return uncounted(added) if dry_run else added

    async def remove_backend(
        self, service: str, name: str, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Backend:
        """Return a backend as it was before it left the pool."""
        self._desired.require(revisions)
        self._desired.backend(service, name)
        before = self._snapshot().backend(service, name)
        await self._membership.remove(service, name, dry_run=dry_run, revisions=revisions)
        if not dry_run:
            await self._keeper.keep(self._desired)
        return before

    async def save_config(self, *, dry_run: bool = False, revisions: Revisions = None) -> Saved:
        """Write what was changed at run time into the configuration file, or raise."""
        saved = await self._saver.save(dry_run=dry_run, revisions=revisions)
        if not dry_run:
            await self._keeper.keep(self._desired)
        return saved

    async def check(self, service: str, name: str) -> CheckReport:
        """Return what a check of a backend finds now; it counts for nothing."""
        return await self.health.check(service, name)

    async def checks(self, service: str, name: str) -> CheckHistory:
        """Return a backend's health and how it came about."""
        return self.health.history(service, name)

    async def flush(
        self,
        wanted: FlowFilter,
        *,
        reset: bool,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Flush:
        """Drop the flows that the filter names; with `reset`, TCP is told at both ends."""
        if not dry_run:
            return await self._intents.flush(wanted, reset=reset, revisions=revisions)
        self._desired.require(revisions)
        check_filter(self._desired.indices, wanted)
        found = await asyncio.to_thread(self._snapshot().count_flows, wanted)
        return found if reset else replace(found, resets=0)

    def _peak_seen(self) -> int:
        """Look at how many flows there are, and return the most that were ever seen."""
        return self._memory.tally.peaked(
            sum(int(each.meta[CURRENT]) for each in self._memory.flows)
        )

    def read_rates(self, now: float) -> None:
        """Read the counts whose rates are shown; to be called every second or so."""
        self._peak_seen()
        snapshot = self._snapshot()
        opened = {name: snapshot.flows_opened(name) for name in self._desired.config.services}
        self._rates.note(now, opened)
        services = self._desired.config.services.values()
        counted = {
            each.name: fallbacks_of(each, self._desired.indices, self._memory.counters)
            for each in services
        }
        counts = {name: count for name, count in counted.items() if count is not None}
        for name, times in self._fallbacks.note(now, counts).items():
            to = "weighted-round-robin"
            self._events.note("policy_fell_back", "warning", service=name, times=times, to=to)

    async def forget_unneeded(self) -> None:
        """Give up what was kept for flows that have ended: numbers and addresses."""
        await self._intents.forget_unneeded()

    async def follow_host(self) -> None:
        """Have the tables follow the host, which has other ways out."""
        await self._intents.follow_host()

    async def confirm_host(self) -> None:
        """Tell a new supervisor what the host's network is for."""
        await self._intents.confirm_host()
