"""A core to play on: one service's tables, compiled as an engine compiles them, and its changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from natlb.control.compile import (
    Choices,
    Indices,
    RunTime,
    Sides,
    compile_tables,
    note_arrivals,
)
from natlb.control.compile.programs import pick_of, programs_for
from natlb.core.assembly import assemble
from natlb.core.batch import make_batch
from natlb.core.layout import PROTOCOLS
from natlb.core.memory import SECRET_BYTES, Kind, flow_items, make, start_flows
from natlb.simulation.kernels.world import NOBODY, PACKETS
from natlb.simulation.packets import place_packets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.config import Config, PolicyConfig, ServiceConfig
    from natlb.control.policy import Memory
    from natlb.core.state import Core
    from natlb.core.tables import Tables
    from natlb.model import BackendStateName, HealthName
    from natlb.simulation.changes import Change

SLOT_BYTES = 512

STATES: dict[str, BackendStateName] = {"drain": "draining", "ready": "ready"}
HEALTH: dict[str, HealthName] = {"fail": "down", "recover": "up"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The configuration that policies are tried on, and which of its services."""

    config: Config
    service: str
    seed: int
    read_from: str | None = None  # the configuration's path: programs lie beside it

    @property
    def names(self) -> list[str]:
        """The backends, in the order of the configuration."""
        return [backend.name for backend in self.config.services[self.service].backends]

    @property
    def weights(self) -> list[int]:
        """What each weighs as configured."""
        return [backend.weight for backend in self.config.services[self.service].backends]

    @property
    def is_tcp(self) -> bool:
        """Whether the service's first address is one of TCP."""
        return self.config.services[self.service].listen[0].protocol == "tcp"

    def playing(self, policy: PolicyConfig, most_flows: int) -> Config:
        """Return the configuration of this service alone, by another policy.

        The flow table is made no larger than so many flows fill.
        """
        service = replace(self.config.services[self.service], policy=policy)
        datapath = self.config.datapath
        return replace(
            self.config,
            services={self.service: service},
            datapath=replace(datapath, max_flows=min(datapath.max_flows, most_flows)),
        )


class Stage:
    """A core with tables for one policy, and what happens to its backends."""

    def __init__(self, arena: Arena, policy: PolicyConfig, most_flows: int) -> None:
        """Compile the first tables, over an empty flow table. Raises ConfigError for a program."""
        self._config = self._there = arena.playing(policy, most_flows)
        self._programs = programs_for(self._config, arena.read_from, {})
        self.pick = pick_of(self._programs)  # natlb's own policies, and programs where there are
        self._seed = arena.seed if arena.config.seed is None else arena.config.seed
        self._name = arena.service
        self._indices = Indices().assign(self._config, set(), set())
        self._run_time: dict[tuple[str, str], RunTime] = {}
        self._away: set[str] = set()
        self._memories: Mapping[tuple[str, str], Memory] = {}
        self._generation = 0
        rows = self._config.datapath.max_flows
        flows = make(Kind.FLOWS, **flow_items(rows))
        secret = hashlib.blake2b(f"{arena.seed}".encode(), digest_size=SECRET_BYTES).digest()
        start_flows(flows, rows, secret, 0)
        batch = make_batch(PACKETS, SLOT_BYTES)
        listen = self._service.listen[0]
        place_packets(batch, listen.address, listen.port, PROTOCOLS[listen.protocol])
        tables = self._tables(self._there)
        self.core: Core = assemble(tables, flows, make(Kind.COUNTERS), batch)

    @property
    def service(self) -> int:
        """The service's index."""
        return self._indices.services[self._name]

    @property
    def _service(self) -> ServiceConfig:
        return self._config.services[self._name]

    def index_of(self, backend: str) -> int:
        """Return a backend's index: its place in the configuration, as all came at once."""
        return self._indices.backends[self._name, backend]

    def apply(self, change: Change) -> int:
        """Put a change in force; return the backend whose flows break by it, or NOBODY."""
        key = self._name, change.backend
        now = self._run_time.get(key, RunTime())
        if change.kind in {"remove", "add"}:
            self._away ^= {change.backend}
        elif change.kind == "weigh":
            now = replace(now, weight=change.weight)
        elif change.kind in STATES:
            now = replace(now, state=STATES[change.kind])
        else:
            now = replace(now, health=HEALTH[change.kind])
        there = self._without_those_away()
        run_time = self._run_time | {key: now}
        now_ms = round(change.at_seconds * 1000)
        run_time = note_arrivals(self._there, self._run_time, there, run_time, now_ms)
        self._there, self._run_time = there, run_time
        self.core = self.core._replace(tables=self._tables(there))
        return self.index_of(change.backend) if change.kind == "fail" else NOBODY

    def _without_those_away(self) -> Config:
        """Return the configuration without the backends that were removed."""
        there = tuple(each for each in self._service.backends if each.name not in self._away)
        service = replace(self._service, backends=there)
        return replace(self._config, services={self._name: service})

    def _tables(self, config: Config) -> Tables:
        """Return the next generation of tables."""
        choices = Choices(
            config,
            indices=self._indices,
            run_time=self._run_time,
            seed=self._seed,
            memories=self._memories,
            programs=self._programs,
        )
        self._memories = choices.memories
        self._generation += 1
        return compile_tables(
            config,
            indices=self._indices,
            run_time=self._run_time,
            sides=Sides(),
            seed=self._seed,
            generation=self._generation,
            choices=choices,
        )
