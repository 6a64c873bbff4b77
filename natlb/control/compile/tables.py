"""From a configuration and what was changed at run time to the tables of a generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from natlb.control.compile.access import AccessSteps
from natlb.control.compile.addresses import lanes_of
from natlb.control.compile.endpoints import Retired, endpoints_of, slots_for, store_endpoints
from natlb.control.policy import COMPILERS, Member
from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    DETACHED,
    DIRECT,
    DNAT,
    ESTABLISHED,
    FULL,
    HALF_ORIGINAL,
    HALF_REPLY,
    OPENING,
    PRIVATE,
    REJECT,
    REPLIED,
    SILENCE,
    STATES,
    UNREPLIED,
)
from natlb.core.memory import Kind, make
from natlb.core.policy import POLICY_NAMES
from natlb.core.tables import (
    ERROR_RATE,
    FRAGMENT_MS,
    FRAGMENTS,
    MOST_PER_SOURCE,
    PORT_FIRST,
    PORT_LAST,
    SEED0,
    SEED1,
    SOURCES4,
    SOURCES6,
    TABLE_GENERATION,
    Tables,
)
from natlb.errors import UsageError
from natlb.model import BackendStateName, HealthName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.compile.indices import Indices
    from natlb.control.compile.sides import Sides
    from natlb.control.config import Config
    from natlb.control.config.values import BackendConfig, ServiceConfig, Timeouts

MOST_WEIGHT = 65535
TCP_OVER_IP6 = 60
TCP_OVER_IP4 = 40  # octets of headers without options: an MTU has so much more than its MSS
DETACHED_SECONDS = 5.0  # that late answers are waited for where UDP was given another backend


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTime:
    """What is true of a backend at run time; None: as the configuration says.

    Raises UsageError for a state, weight or health that there is none of.
    """

    state: BackendStateName = "ready"
    weight: int | None = None
    health: HealthName = "unknown"

    def __post_init__(self) -> None:
        """Refuse what no policy could work with."""
        for field_name, value, words in (
            ("state", self.state, get_args(BackendStateName)),
            ("health", self.health, get_args(HealthName)),
        ):
            if value not in words:
                raise UsageError(f"{field_name} {value!r} is none of {', '.join(words)}")
        if self.weight is not None and not 0 <= self.weight <= MOST_WEIGHT:
            raise UsageError(f"weight {self.weight} is not in 0..{MOST_WEIGHT}")

    def weight_of(self, backend: BackendConfig) -> int:
        """Return the weight in force."""
        return backend.weight if self.weight is None else self.weight

    def effective_weight(self, backend: BackendConfig) -> int:
        """Return the weight new flows are given by: 0 for a backend that takes none."""
        takes = self.state == "ready" and self.health != "down"
        return self.weight_of(backend) if takes else 0


AS_CONFIGURED = RunTime()


NOTHING_RETIRED = Retired()


def compile_tables(
    config: Config,
    *,
    indices: Indices,
    run_time: Mapping[tuple[str, str], RunTime],
    sides: Sides,
    seed: int,
    generation: int,
    retired: Retired = NOTHING_RETIRED,
) -> Tables:
    """Return the tables of a generation, read-only. `seed` (64 bits) spreads clients by hash."""
    endpoints = endpoints_of(config, indices, retired, sides)
    access = AccessSteps(config)
    sources = sorted(config.datapath.source, key=lambda each: (each.version, int(each)))
    rings = _rings(config, indices, run_time, seed)
    tables: Tables = make(
        Kind.TABLES,
        endpoints=slots_for(endpoints),
        services=_length(indices.services),
        backends=_length(indices.backends),
        rings=max(1, sum(ring.size for ring in rings.values())),
        timeouts=_length(indices.services),
        ways=2,
        access=max(1, len(access.steps)),
        sources=max(1, len(sources)),
    )
    store_endpoints(tables.endpoints, endpoints)
    _fill_services(tables, config, indices, rings)
    _fill_limits(tables, config, indices, sides)
    access.fill(tables, indices)
    for at, address in enumerate(sources):
        tables.sources[at] = lanes_of(address)
    _fill_backends(tables, config, indices, run_time)
    sides.fill(tables.ways)
    _fill_numbers(tables.numbers, config, seed, generation)
    for array in tables:
        array.flags.writeable = False
    return tables


def _length(numbers: Mapping[Any, int]) -> int:
    return 1 + max(numbers.values(), default=0)


def _rings(
    config: Config, indices: Indices, run_time: Mapping[tuple[str, str], RunTime], seed: int
) -> dict[str, Any]:
    """Return each service's ring, of the backends that take new flows."""
    rings = {}
    for service in config.services.values():
        members = []
        for backend in service.backends:
            name = service.name, backend.name
            weight = run_time.get(name, AS_CONFIGURED).effective_weight(backend)
            if weight > 0:
                members.append(Member(indices.backends[name], backend.name, weight))
        rings[service.name] = COMPILERS[service.policy.name](members, seed)
    return rings


def _fill_services(
    tables: Tables, config: Config, indices: Indices, rings: Mapping[str, Any]
) -> None:
    start = 0
    for service in config.services.values():
        index, ring = indices.services[service.name], rings[service.name]
        no_backend = REJECT if service.no_backend == "reject" else SILENCE
        policy = POLICY_NAMES.index(service.policy.name)
        record = tables.services[index]
        record["policy"], record["no_backend"] = policy, no_backend
        record["ring_start"], record["ring_size"] = start, ring.size
        tables.rings[start : start + ring.size] = ring
        start += ring.size
    tables.timeouts[:] = _milliseconds(config.timeouts)
    for service in config.services.values():
        tables.timeouts[indices.services[service.name]] = _milliseconds(service.timeouts)
    tables.timeouts[:, DIRECT] = round(1000 * config.timeouts.tcp_established)  # of no service


def _fill_limits(tables: Tables, config: Config, indices: Indices, sides: Sides) -> None:
    for service in config.services.values():
        record = tables.services[indices.services[service.name]]
        record["unknown"] = REJECT if service.unknown == "reject" else SILENCE
        record["nat"] = FULL if service.nat == "full" else DNAT
        record["max_flows"] = service.max_flows or 0
        record["datagrams"] = service.datagrams
        clamp = service.mss_clamp
        record["mss4"] = sides.least_mtu - TCP_OVER_IP4 if clamp is True else int(clamp)
        record["mss6"] = sides.least_mtu - TCP_OVER_IP6 if clamp is True else int(clamp)


def _fill_numbers(numbers: Any, config: Config, seed: int, generation: int) -> None:
    datapath = config.datapath
    numbers[TABLE_GENERATION] = generation
    numbers[SEED0], numbers[SEED1] = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    numbers[ERROR_RATE] = datapath.error_rate
    numbers[SOURCES4] = sum(address.version == 4 for address in datapath.source)
    numbers[SOURCES6] = len(datapath.source) - numbers[SOURCES4]
    numbers[PORT_FIRST], numbers[PORT_LAST] = datapath.source_ports
    numbers[MOST_PER_SOURCE] = datapath.max_flows_per_source or 0
    numbers[FRAGMENTS] = datapath.fragments
    numbers[FRAGMENT_MS] = round(1000 * config.timeouts.fragment)


def _milliseconds(timeouts: Timeouts) -> list[int]:
    """Return the timeouts by state; a removed service's flows live by the global ones."""
    seconds = {
        DETACHED: min(DETACHED_SECONDS, timeouts.udp_unreplied),
        OPENING: timeouts.tcp_opening,
        ANSWERED: timeouts.tcp_opening,
        ESTABLISHED: timeouts.tcp_established,
        HALF_ORIGINAL: timeouts.tcp_established,
        HALF_REPLY: timeouts.tcp_established,
        CLOSING: timeouts.tcp_transitory,
        UNREPLIED: timeouts.udp_unreplied,
        REPLIED: timeouts.udp,
    }
    return [round(1000 * seconds.get(state, 0)) for state in range(STATES)]


def _fill_backends(
    tables: Tables,
    config: Config,
    indices: Indices,
    run_time: Mapping[tuple[str, str], RunTime],
) -> None:
    for service in config.services.values():
        for backend in service.backends:
            name = service.name, backend.name
            now = run_time.get(name, AS_CONFIGURED)
            weight = now.effective_weight(backend)
            tables.backends[indices.backends[name]] = (
                *lanes_of(backend.address),
                backend.port or 0,
                PRIVATE,
                int(weight > 0),
                weight,
                int(now.health != "down"),
            )


def takes_new_flows(service: ServiceConfig, run_time: Mapping[tuple[str, str], RunTime]) -> int:
    """Return how many of a service's backends take new flows."""
    return sum(
        run_time.get((service.name, backend.name), AS_CONFIGURED).effective_weight(backend) > 0
        for backend in service.backends
    )
