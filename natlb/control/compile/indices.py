"""Which index is which service and which backend, from generation to generation.

A row of the flow table knows its backend by index alone, so an index means the same backend for
as long as any flow holds it: also after the backend has gone from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from natlb.core.layout import (
    CHOICES,
    MOST_BACKENDS,
    MOST_SERVICES,
    POLICY_WORDS,
    WORD_COMPARED,
    WORD_DIFFERED,
)
from natlb.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from natlb.control.config import Config
    from natlb.control.config.values import ServiceConfig
    from natlb.core.counters import Counters

BackendName = tuple[str, str]  # service, backend
Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Indices:
    """Names to numbers, both ways unique; names that are gone stay while flows hold them."""

    services: Mapping[str, int] = field(default_factory=dict)
    backends: Mapping[BackendName, int] = field(default_factory=dict)

    def assign(self, config: Config, held_services: set[int], held_backends: set[int]) -> Indices:
        """Return the numbers for a configuration: old names keep theirs, new ones get the lowest.

        Raises ConfigError where the numbers run out.
        """
        names = [
            (service.name, backend.name)
            for service in config.services.values()
            for backend in service.backends
        ]
        return Indices(
            services=_assign(self.services, config.services, held_services, MOST_SERVICES),
            backends=_assign(self.backends, names, held_backends, MOST_BACKENDS),
        )

    def service_names(self) -> dict[int, str]:
        """Return the service of each index."""
        return {index: name for name, index in self.services.items()}

    def backend_names(self) -> dict[int, BackendName]:
        """Return the backend of each index."""
        return {index: name for name, index in self.backends.items()}


def start_counts(
    counters: Counters, old: Indices, before: Config, new: Indices, after: Config
) -> None:
    """Set to zero what is counted under each number that `new` gives to a name `old` did not.

    A freed number's counts are its former owner's. To be called before the tables that use the
    number are published: nobody counts under it then. A service's policy and shadow begin anew
    as well where they are others than `before`; of them the old tables may still count a batch.
    """
    for number in _given_anew(old.services, new.services):
        counters.services[number] = 0
        words = CHOICES * POLICY_WORDS
        counters.policy[number * words : (number + 1) * words] = 0
    for number in _given_anew(old.backends, new.backends):
        counters.backends[number] = 0
        counters.loads[number] = 0
        counters.notes[number] = 0
        if counters.handshakes[number].any():  # else a page of zeros would be taken for nothing
            counters.handshakes[number] = 0
    for name, service in after.services.items():
        backends = [new.backends[name, backend.name] for backend in service.backends]
        _start_choices(counters, new.services[name], backends, before.services.get(name), service)


def _start_choices(
    counters: Counters,
    number: int,
    backends: list[int],
    before: ServiceConfig | None,
    after: ServiceConfig,
) -> None:
    """Set to zero what belongs to a policy or a shadow that is another one now."""
    is_same_policy = before is not None and before.policy == after.policy
    is_same_shadow = before is not None and before.shadow == after.shadow
    policy = CHOICES * number * POLICY_WORDS
    shadow = policy + POLICY_WORDS
    if not is_same_policy:
        counters.policy[policy:shadow] = 0
        counters.notes["smooth"][backends] = 0
    if not is_same_shadow:
        counters.policy[shadow : shadow + POLICY_WORDS] = 0
        counters.notes["smooth_shadow"][backends] = 0
    if not (is_same_policy and is_same_shadow):  # what is compared is the two of them
        counters.policy[[shadow + WORD_COMPARED, shadow + WORD_DIFFERED]] = 0
        counters.notes["compared"][backends] = counters.notes["shadow"][backends] = 0


def _given_anew(old: Mapping[Name, int], new: Mapping[Name, int]) -> list[int]:
    return [number for name, number in new.items() if old.get(name) != number]


def _assign(
    old: Mapping[Name, int], wanted: Iterable[Name], held: set[int], limit: int
) -> dict[Name, int]:
    names = dict.fromkeys(wanted)
    kept = {name: at for name, at in old.items() if at in held or name in names}
    taken = set(kept.values())
    free = (number for number in range(limit) if number not in taken)
    for name in names:
        if name in kept:
            continue
        number = next(free, None)
        if number is None:
            message = f"more than {limit} at once, those that drain included"
            raise ConfigError(message, fix="wait until removed ones have drained, then reload")
        kept[name] = number
    return kept
