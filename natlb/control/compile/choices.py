"""How each service chooses: its pool, and what its policy and its shadow look up.

Compiled whole before anything is written, so that a policy that cannot be compiled changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from natlb.control.compile.pools import pool_of_service
from natlb.control.compile.programs import PYTHON, ROLES, Programs, owner_of
from natlb.control.compile.run_time import AS_CONFIGURED
from natlb.control.policy import COMPILERS, Compiled, Member, Order
from natlb.core.layout import CHOICES, FIRST_PROGRAM, WEIGHT_ONE
from natlb.core.policy import POLICY_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from natlb.control.compile.indices import Indices
    from natlb.control.compile.run_time import RunTime
    from natlb.control.config import Config
    from natlb.control.config.values import PolicyConfig, ServiceConfig
    from natlb.control.policy import Memory
    from natlb.core.tables import Tables

NO_PROGRAMS: Programs = {}
ChoiceKey = tuple[str, str]
"""A service and the policy that chooses for it; a shadow's is `shadow NAME`."""
Memories: TypeAlias = "Mapping[ChoiceKey, Memory]"


@dataclass(frozen=True, slots=True)
class _Choice:
    """A policy or a shadow at its place in `Tables.choices`."""

    at: int
    service: str
    policy: PolicyConfig
    compiled: Compiled


class Choices:
    """What the tables say of pools and policies; `memories` is what policies keep of it."""

    def __init__(
        self,
        config: Config,
        *,
        indices: Indices,
        run_time: Mapping[tuple[str, str], RunTime],
        seed: int,
        memories: Memories,
        programs: Programs = NO_PROGRAMS,
    ) -> None:
        """Compile the choices of a configuration."""
        self._indices = indices
        self._programs = programs
        self._pools = {
            service.name: _members(service, indices, run_time)
            for service in config.services.values()
        }
        self._shadowed = [s.name for s in config.services.values() if s.shadow is not None]
        self._choices: list[_Choice] = []
        for service, at, policy in _policies(config, indices):
            order = Order(
                members=self._pools[service],
                seed=seed,
                parameters=policy.parameters,
                memory=memories.get(_key(service, at, policy), {}),
            )
            compiled = COMPILERS[policy.name](order)
            self._choices.append(_Choice(at, service, policy, compiled))

    @property
    def memories(self) -> dict[ChoiceKey, Memory]:
        """What is to be given with the next configuration."""
        return {
            _key(each.service, each.at, each.policy): each.compiled.memory
            for each in self._choices
            if each.compiled.memory
        }

    @property
    def slots(self) -> int:
        """How long `Tables.rings` has to be."""
        pools = sum(len(members) for members in self._pools.values())
        return max(1, pools + sum(each.compiled.ring.size for each in self._choices))

    def fill(self, tables: Tables) -> None:
        """Write pools, choices and rings."""
        start = 0
        for name, members in self._pools.items():
            record = tables.services[self._indices.services[name]]
            record["pool_start"], record["pool_size"] = start, len(members)
            record["shadow"] = int(name in self._shadowed)
            record["has_others"] = int(self._has_others(name))
            tables.rings[start : start + len(members)] = [member.index for member in members]
            start += len(members)
        for choice in self._choices:
            self._fill_choice(tables, choice, start)
            start += choice.compiled.ring.size

    def _has_others(self, service: str) -> bool:
        """Return whether a backend is not in the pool, also one that was removed and has flows."""
        pool = {member.index for member in self._pools[service]}
        return any(
            name == service and index not in pool
            for (name, _), index in self._indices.backends.items()
        )

    def _fill_choice(self, tables: Tables, choice: _Choice, start: int) -> None:
        compiled, record = choice.compiled, tables.choices[choice.at]
        if choice.policy.name == PYTHON:
            self._fill_program(record, choice)
        else:
            record["policy"] = POLICY_NAMES.index(choice.policy.name)
        record["key"] = compiled.key
        record["service"] = choice.at // CHOICES
        record["ring_start"], record["ring_size"] = start, compiled.ring.size
        record["weights"] = sum(m.weight for m in self._pools[choice.service]) * WEIGHT_ONE
        for number, parameter in enumerate(compiled.parameters):
            record[f"parameter{number}"] = parameter
        tables.rings[start : start + compiled.ring.size] = compiled.ring

    def _fill_program(self, record: Any, choice: _Choice) -> None:
        """Write where the program keeps its state, which one it is, and whose state it may be."""
        key = choice.service, ROLES[choice.at % CHOICES]
        place = self._programs[key]
        record["policy"] = FIRST_PROGRAM + place.slot
        record["parameter0"] = place.source.identity
        record["parameter1"] = owner_of(key, place.source)


def _key(service: str, at: int, policy: PolicyConfig) -> ChoiceKey:
    """Return what a choice's memory is kept under: a policy and its shadow never share one."""
    return service, f"shadow {policy.name}" if at % CHOICES else policy.name


def _members(
    service: ServiceConfig, indices: Indices, run_time: Mapping[tuple[str, str], RunTime]
) -> list[Member]:
    """Return a service's pool as policies see it."""
    members = []
    for backend in pool_of_service(service, run_time):
        name = service.name, backend.name
        weight = run_time.get(name, AS_CONFIGURED).weight_of(backend)
        members.append(Member(indices.backends[name], backend.name, weight))
    return members


def _policies(config: Config, indices: Indices) -> Iterator[tuple[str, int, PolicyConfig]]:
    """Yield every policy, shadows too, with its service and its place in `Tables.choices`."""
    for service in config.services.values():
        at = CHOICES * indices.services[service.name]
        yield service.name, at, service.policy
        if service.shadow is not None:
            yield service.name, at + 1, service.shadow
