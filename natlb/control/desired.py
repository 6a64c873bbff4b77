"""What is wanted of a running instance, as one value: from it everything else is compiled.

    configuration    as loaded, with its text and path
    overlay          backends added and removed at run time: `config` is the file's with them
    run time         states and weights that differ from it, and who came a moment ago
    memories         what policies have to know of their earlier pools
    programs         policies of the user's own, as their files read when they were loaded
    indices          which number is which service and backend
    retired          addresses that are configured no more, while flows may still need them

A value never changes; each intent makes the next one. It is written to the registry before it is
published, and comes back from there whole.

Law: a number is not given to another name while a flow may hold it. So a name keeps its number
when it leaves the configuration, until `without` is told what the flow table still holds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast, get_args

from natlb.control.compile import AS_CONFIGURED, Indices, Retired, RunTime, note_arrivals
from natlb.control.compile.choices import NO_PROGRAMS
from natlb.control.compile.programs import Place, Programs
from natlb.control.config.problems import quoted
from natlb.control.overlay import NO_OVERLAY, Overlay, backend_of, laid_over, parse_file
from natlb.control.policy.program_source import ProgramSource
from natlb.control.registry import BackendPlace, PolicyMemory, ProgramKept, Record, RuntimeChange
from natlb.errors import ChangedError, UnknownNameError, UsageError
from natlb.model import BackendStateName, Change, HealthName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.compile.choices import Memories
    from natlb.control.config.values import BackendConfig, Config, ServiceConfig

BackendKey = tuple[str, str]
Revisions = frozenset[int] | None  # those that a change is meant for; None: any
MOST_WEIGHT = 65535
USUAL_WEIGHT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What live flows hold: numbers, and addresses."""

    services: frozenset[int] = frozenset()
    backends: frozenset[int] = frozenset()
    retired: Retired = field(default_factory=Retired)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """All that is wanted, by one generation."""

    config: Config
    config_text: str
    config_path: str
    generation: int
    seed: int
    started_ns: int
    indices: Indices
    run_time: Mapping[BackendKey, RunTime] = field(default_factory=dict)
    memories: Memories = field(default_factory=dict)
    programs: Programs = field(default_factory=dict)
    retired: Retired = field(default_factory=Retired)
    overlay: Overlay = NO_OVERLAY
    file: Config | None = None
    revision: int = 1

    @property
    def filed(self) -> Config:
        """What the file means by itself."""
        return self.file or self.config

    def with_config(
        self,
        config: Config,
        text: str,
        path: str,
        *,
        now_ms: int,
        seed: int | None = None,
        programs: Programs | None = None,
        file: Config | None = None,
        overlay: Overlay = NO_OVERLAY,
    ) -> Desired:
        """Return the next generation, by this configuration; run-time changes stay by name.

        It is what the text means, or `file` is, and `overlay` lies over that. The seed stays, and
        so do programs, where none are given. `now_ms` is the time of the flow table's clock, here
        and below.
        """
        everything = Held(
            services=frozenset(self.indices.services.values()),
            backends=frozenset(self.indices.backends.values()),
        )
        return replace(
            self,
            config=config,
            config_text=text,
            config_path=path,
            generation=self.generation + 1,
            seed=self.seed if seed is None else seed,
            programs=self.programs if programs is None else programs,
            indices=self.indices.assign(config, set(everything.services), set(everything.backends)),
            run_time=note_arrivals(self.config, self.run_time, config, self.run_time, now_ms),
            retired=self.retired.after(self.config, config),
            overlay=overlay,
            file=file if overlay else None,
            revision=self.revision + 1,
        )

    def with_overlay(self, overlay: Overlay, *, now_ms: int) -> Desired:
        """Return the next generation, with these backends added and removed.

        Raises InvalidConfigError where that is no configuration.
        """
        file = self.filed
        config = laid_over(file, self.config_text, self.config_path, overlay)
        return self.with_config(
            config, self.config_text, self.config_path, now_ms=now_ms, file=file, overlay=overlay
        )

    def require(self, revisions: Revisions) -> None:
        """Raise ChangedError unless this is one of the revisions a change is meant for."""
        if revisions is not None and self.revision not in revisions:
            now = f'the revision is "r{self.revision}" now'
            raise ChangedError("somebody changed something meanwhile", fix=f"look again: {now}")

    def with_change(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None,
        weight: int | None,
        now_ms: int,
    ) -> Desired:
        """Return the next generation, with this backend's state and weight; None leaves one as is.

        Raises UnknownNameError where there is no such backend, UsageError for no weight.
        """
        backend = self.backend(service, name)
        now = self.run_time.get((service, name), AS_CONFIGURED)
        if state is not None:
            now = replace(now, state=_state(state))
        if weight is not None:
            now = replace(now, weight=None if weight == backend.weight else _weight(weight))
        if now == self.run_time.get((service, name), AS_CONFIGURED):
            return self
        run_time = {**self.run_time, (service, name): now}
        run_time = note_arrivals(self.config, self.run_time, self.config, run_time, now_ms)
        return replace(
            self,
            generation=self.generation + 1,
            revision=self.revision + 1,
            run_time=run_time,
        )

    def with_health(self, found: Mapping[BackendKey, HealthName], *, now_ms: int) -> Desired:
        """Return the next generation, with what is known of these backends' health; or this one.

        Names that are not configured are passed over.
        """
        known = {key for key, _ in backends_of(self.config)}
        run_time = dict(self.run_time)
        for key in found.keys() & known:
            run_time[key] = replace(run_time.get(key, AS_CONFIGURED), health=found[key])
        now = {key: each for key, each in run_time.items() if each != AS_CONFIGURED}
        if now == self.run_time:
            return self
        run_time = note_arrivals(self.config, self.run_time, self.config, now, now_ms)
        return replace(self, generation=self.generation + 1, run_time=run_time)

    def again(self) -> Desired:
        """Return the next generation of the same, for what is compiled along with it."""
        return replace(self, generation=self.generation + 1)

    def serves_as(self, other: Desired) -> bool:
        """Return whether these differ in nothing but who of those that serve is known to be up."""
        return self.run_time_served() == other.run_time_served() and self == replace(
            other, run_time=self.run_time, generation=self.generation
        )

    def run_time_served(self) -> dict[BackendKey, RunTime]:
        """Return what holds at run time, as far as workers are told of it."""
        served = {
            key: replace(now, health="unknown") if now.health == "up" else now
            for key, now in self.run_time.items()
        }
        return {key: now for key, now in served.items() if now != AS_CONFIGURED}

    def without(self, held: Held) -> Desired:
        """Return this with nothing kept for the sake of flows but what flows hold."""
        return replace(
            self,
            indices=self.indices.assign(self.config, set(held.services), set(held.backends)),
            retired=Retired(
                vips=self.retired.vips & held.retired.vips,
                backends=self.retired.backends & held.retired.backends,
            ),
        )

    @property
    def keeps_for_flows(self) -> bool:
        """Whether anything is kept that the configuration does not name."""
        names = {key for key, _ in backends_of(self.config)}
        return (
            bool(self.retired)
            or self.indices.services.keys() != self.config.services.keys()
            or self.indices.backends.keys() != names
        )

    def backend(self, service: str, name: str) -> BackendConfig:
        """Return a backend by name. Raises UnknownNameError, which lists those there are."""
        pool = self.service(service).backends
        for backend in pool:
            if backend.name == name:
                return backend
        known = ", ".join(backend.name for backend in pool) or "none"
        raise UnknownNameError(f"no backend {quoted(f'{service}/{name}')}; there are {known}")

    def service(self, name: str) -> ServiceConfig:
        """Return a service by name. Raises UnknownNameError, which lists those there are."""
        if name not in self.config.services:
            known = ", ".join(self.config.services)
            raise UnknownNameError(f"no service {quoted(name)}; there are {known}")
        return self.config.services[name]

    def changes(self) -> list[Change]:
        """Return what differs from the file: who is in its pools, then each one's state and weight.

        A backend that the file has not is None there, and so is its weight.
        """
        found = self._moved()
        added = {(each.service, each.name) for each in self.overlay.added}
        for key, backend in backends_of(self.config):
            now, name = self.run_time.get(key, AS_CONFIGURED), "/".join(key)
            weight = now.weight_of(backend)
            if now.state != AS_CONFIGURED.state:
                before = AS_CONFIGURED.state
                found.append(Change(backend=name, field="state", file=before, now=now.state))
            if weight != (USUAL_WEIGHT if key in added else backend.weight):
                file = None if key in added else backend.weight
                found.append(Change(backend=name, field="weight", file=file, now=weight))
        return found

    def _moved(self) -> list[Change]:
        """Return the backends that the file has not, and those that it alone has."""
        gone = []
        for each in self.overlay.removed:
            backend = backend_of(self.filed, each.service, each.name)
            assert backend is not None, "what is removed is the file's"
            name = f"{each.service}/{each.name}"
            gone.append(Change(backend=name, field="backend", file=backend.written, now=None))
        return gone + [
            Change(backend=f"{new.service}/{new.name}", field="backend", file=None, now=new.address)
            for new in self.overlay.added
        ]

    def to_record(self) -> Record:
        """Return what the registry keeps."""
        return Record(
            generation=self.generation,
            seed=self.seed,
            started_ns=self.started_ns,
            config_path=self.config_path,
            config_text=self.config_text,
            services=dict(self.indices.services),
            backends=tuple(
                BackendPlace(index=index, service=service, name=name)
                for (service, name), index in self.indices.backends.items()
            ),
            changes=tuple(
                RuntimeChange(
                    service=service,
                    name=name,
                    state=now.state,
                    weight=now.weight,
                    health=now.health,
                    began_ms=now.began_ms,
                )
                for (service, name), now in self.run_time.items()
            ),
            memories=tuple(
                PolicyMemory(service=service, policy=policy, memory=dict(memory))
                for (service, policy), memory in self.memories.items()
            ),
            programs=tuple(
                ProgramKept(slot=place.slot, service=service, role=role, **asdict(place.source))
                for (service, role), place in self.programs.items()
            ),
            retired_vips=tuple(map(str, self.retired.vips)),
            retired_backends=tuple(map(str, self.retired.backends)),
            added=self.overlay.added,
            removed=self.overlay.removed,
            revision=self.revision,
        )

    @classmethod
    def from_record(cls, record: Record) -> Desired:
        """Return what the registry kept; its configuration was valid when it was written."""
        text, path = record.config_text, record.config_path
        overlay = Overlay(added=record.added, removed=record.removed)
        file = parse_file(text, path)
        config = laid_over(file, text, path, overlay)
        return cls(
            config=config,
            config_text=record.config_text,
            config_path=record.config_path,
            generation=record.generation,
            seed=record.seed,
            started_ns=record.started_ns,
            indices=Indices(
                services=record.services,
                backends={(place.service, place.name): place.index for place in record.backends},
            ),
            run_time={
                (kept.service, kept.name): RunTime(
                    state=_state(kept.state),
                    weight=kept.weight,
                    health=cast("HealthName", kept.health),
                    began_ms=kept.began_ms,
                )
                for kept in record.changes
            },
            memories={(kept.service, kept.policy): kept.memory for kept in record.memories},
            programs={
                (kept.service, kept.role): Place(
                    kept.slot,
                    ProgramSource(file=kept.file, function=kept.function, text=kept.text),
                )
                for kept in record.programs
            },
            retired=Retired(
                vips=frozenset(map(ip_address, record.retired_vips)),
                backends=frozenset(map(ip_address, record.retired_backends)),
            ),
            overlay=overlay,
            file=file if overlay else None,
            revision=record.revision,
        )


def first_desired(
    config: Config,
    text: str,
    path: str,
    *,
    seed: int,
    started_ns: int,
    programs: Programs = NO_PROGRAMS,
) -> Desired:
    """Return what a new instance begins with."""
    return Desired(
        config=config,
        config_text=text,
        config_path=path,
        generation=1,
        seed=seed,
        started_ns=started_ns,
        indices=Indices().assign(config, set(), set()),
        programs=programs,
    )


def backends_of(config: Config) -> list[tuple[BackendKey, BackendConfig]]:
    """Return all backends by service and name, in the order of the file."""
    return [
        ((service.name, backend.name), backend)
        for service in config.services.values()
        for backend in service.backends
    ]


def _state(text: str) -> BackendStateName:
    if text not in get_args(BackendStateName):
        raise UsageError(f"state '{text}' is none of {', '.join(get_args(BackendStateName))}")
    return cast("BackendStateName", text)


def _weight(weight: int) -> int:
    if not 0 <= weight <= MOST_WEIGHT:
        raise UsageError(f"weight {weight} is not in 0..{MOST_WEIGHT}")
    return weight
