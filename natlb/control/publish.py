"""How what is wanted comes into force: the host's network, then tables, registry, workers.

    a refusal         may come from a policy of the user's own, from the host or the compiler, and
                      changes nothing
    the registry      is written next: from here on nothing can refuse
    the workers       are given the tables, and a moment to say that they read them

Addresses are given up last: what flows still need stays routed (`Desired.retired`).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.compile import Choices, Sides, WayOut, addresses_of, compile_tables
from natlb.control.compile.programs import distinct
from natlb.control.host.layout import decode_plan, encode_wanted
from natlb.control.host.plan import Wanted, in_order
from natlb.control.memory import digest_of, read_sealed, sealed_memfd
from natlb.control.messages import Hold
from natlb.control.programs import decode_programs, encode_programs
from natlb.control.registry import Registry
from natlb.control.roles import Role
from natlb.core.memory import Kind
from natlb.io.shared import attach, create_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from natlb.control.compile.programs import Programs
    from natlb.control.desired import Desired
    from natlb.control.host.plan import Driver, HostPlan, Side
    from natlb.control.link import SupervisorLink
    from natlb.control.worker_link import WorkerLinks
    from natlb.core.tables import Tables


def wanted_of(desired: Desired) -> Wanted:
    """Return what the host's network is about: what is configured, and what flows still need."""
    wanted = Wanted.of(desired.config)
    vips, backends = addresses_of(desired.config)
    return replace(
        wanted,
        vips=in_order(set(vips | desired.retired.vips)),
        backends=in_order(set(backends | desired.retired.backends)),
    )


class Publisher:
    """Brings one `Desired` after the other into force."""

    def __init__(self, link: SupervisorLink, workers: WorkerLinks, desired: Desired) -> None:
        """Begin with this, which is not in force yet."""
        self.desired = desired
        self._link = link
        self._workers = workers
        self._wanted: Wanted | None = None
        self._tables: Tables | None = None
        self._sides: Sides | None = None  # that the tables know; None: another control made them

    @property
    def tables(self) -> Tables:
        """The tables in force."""
        assert self._tables is not None
        return self._tables

    async def publish(
        self,
        desired: Desired,
        begin: Callable[[], None] | None = None,
        *,
        learned: bytes | None = None,
    ) -> None:
        """Bring this into force, tables and all, and with it what policies keep of its pools.

        `begin` is called when nothing can refuse any more, and nobody uses it yet; `learned` are
        the programs that a nursery has learned for it. Raises NatlbError where the host refuses.
        """
        await self._prepare_host(desired)
        desired, tables = await asyncio.to_thread(self._compile, desired)
        if begin is not None:
            begin()
        self._keep(desired)
        self._link.hold(Hold(role=Role.TABLES, value=desired.generation), create_tables(tables))
        self._tables = tables
        if learned is None:
            self._workers.send_tables()
        else:
            self._serve(learned)
        await self._workers.await_reading(desired.generation)

    async def keep(self, desired: Desired) -> None:
        """Bring this into force, of which the workers see nothing."""
        await self._prepare_host(desired)
        self._keep(desired)

    async def take_up(self) -> None:
        """Go on where another control died: with its tables, or with those it did not get out."""
        self._wanted = wanted_of(self.desired)
        held = self._link.holdings.get(Role.TABLES)
        if held is None or held.value != self.desired.generation:
            async with self.learning(self.desired.programs) as learned:
                await self.publish(self.desired, learned=learned)
        else:
            self._tables = attach(Kind.TABLES, held.fd, writable=False)
            sides = self._sides_now()
            self._sides = sides if sides.are_in(self._tables.ways) else None
            async with self.learning(self.desired.programs) as learned:
                if learned is not None:
                    self._serve(learned)

    @asynccontextmanager
    async def learning(self, programs: Programs) -> AsyncIterator[bytes | None]:
        """Have a nursery learn the programs, unless workers know them all: for `publish`.

        Raises NatlbError where one is refused. Nothing else has changed then. Where what follows
        is refused, the nursery that has learned them goes.
        """
        wanted = self._unknown(programs)
        if wanted is None:
            yield None
            return
        try:
            await self._have_learned(wanted)
            yield wanted
        except BaseException:
            self._link.unlearn()
            raise

    def _unknown(self, programs: Programs) -> bytes | None:
        """Return the programs as they travel, unless workers know them all."""
        held = self._link.holdings.get(Role.PROGRAMS)
        known = decode_programs(read_sealed(held.fd)) if held else ()
        wanted = distinct(programs)
        if {each.identity for each in wanted} <= {each.identity for each in known}:
            return None
        return encode_programs(wanted)

    async def _have_learned(self, octets: bytes) -> None:
        memfd = sealed_memfd("programs", octets)
        try:
            await self._link.learn(memfd)
        finally:
            os.close(memfd)

    def _serve(self, learned: bytes) -> None:
        """Have a worker that knows these programs take the place of the one that does not.

        It is given the tables as it comes; the other is not: it would be at a loss with them.
        """
        said = Hold(role=Role.PROGRAMS, value=digest_of(learned))
        self._link.hold(said, sealed_memfd("programs", learned))

    async def _prepare_host(self, desired: Desired) -> None:
        wanted = wanted_of(desired)
        if wanted != self._wanted:
            await self._want(wanted)

    async def confirm_host(self) -> None:
        """Have a supervisor that is new know what is wanted in force."""
        await self._want(wanted_of(self.desired))

    async def _want(self, wanted: Wanted) -> None:
        memfd = sealed_memfd("wanted", encode_wanted(wanted))
        try:
            await self._link.want(memfd)
        finally:
            os.close(memfd)
        self._wanted = wanted

    @property
    def is_outdated(self) -> bool:
        """Whether the tables in force know other ways out than the host has."""
        return self._sides is None or self._sides != self._sides_now()

    @property
    def driver(self) -> Driver:
        """What brings packets in, as it was chosen for this host."""
        return self._plan().driver

    def _plan(self) -> HostPlan:
        held = self._link.holdings.get(Role.HOST_PLAN)
        assert held is not None
        return decode_plan(read_sealed(held.fd))

    def _sides_now(self) -> Sides:
        plan = self._plan()
        return Sides(public=_way_out(plan.public), private=_way_out(plan.private))

    def _compile(self, desired: Desired) -> tuple[Desired, Tables]:
        self._sides = sides = self._sides_now()
        choices = Choices(
            desired.config,
            indices=desired.indices,
            run_time=desired.run_time,
            seed=desired.seed,
            memories=desired.memories,
            programs=desired.programs,
        )
        tables = compile_tables(
            desired.config,
            indices=desired.indices,
            run_time=desired.run_time,
            sides=sides,
            seed=desired.seed,
            generation=desired.generation,
            retired=desired.retired,
            choices=choices,
        )
        return replace(desired, memories=choices.memories), tables

    def _keep(self, desired: Desired) -> None:
        """Write the registry: into the one that is held, or into a larger one that replaces it."""
        record = desired.to_record()
        held = self._link.holdings.get(Role.REGISTRY)
        registry = Registry(os.dup(held.fd)) if held else Registry.create()
        if held and registry.fits(record):
            registry.write(record)
            registry.close()
        else:
            self._link.hold(Hold(role=Role.REGISTRY), registry.grown_for(record).fd)
            registry.close()
        self.desired = desired


def _way_out(side: Side) -> WayOut:
    return WayOut(
        mtu=side.way_mtu, address4=side.address4, address6=side.address6, hosts=side.hosts
    )
