"""From a configuration and what was changed at run time to the tables of a generation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from natlb.control.compile.access import AccessSteps
from natlb.control.compile.addresses import Address, lanes_of
from natlb.control.policy import COMPILERS, Member
from natlb.core.layout import (
    ANSWERED,
    BACKEND_ADDRESS,
    BACKEND_ENDPOINT,
    CLOSING,
    DETACHED,
    DIRECT,
    DNAT,
    DUMMY_ADDRESS4,
    ESTABLISHED,
    FULL,
    HALF_ORIGINAL,
    HALF_REPLY,
    HOST,
    OPENING,
    PRIVATE,
    PROTOCOLS,
    PUBLIC,
    REJECT,
    REPLIED,
    SERVICE_ENDPOINT,
    SILENCE,
    SOURCE,
    STATES,
    UNREPLIED,
    UNUSED,
    VIP,
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
    endpoint_slot,
)
from natlb.errors import UsageError
from natlb.model import BackendStateName, HealthName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address

    from natlb.control.compile.indices import Indices
    from natlb.control.config import Config
    from natlb.control.config.values import BackendConfig, ServiceConfig, Timeouts

MOST_WEIGHT = 65535
TCP_OVER_IP4 = 40  # octets of headers without options: what an MSS leaves of an MTU
DETACHED_SECONDS = 5.0  # that late answers are waited for where UDP was given another backend
LARGEST_MTU = 65535
"""What a way out takes unless said: every IP packet there can be."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """Addresses that no configuration names any more, while flows still need them.

    They keep their meaning: a retired backend's answers are its flows', and what is sent to a
    retired VIP is refused. Passed on, it would come back here, where the VIP is routed, for ever.
    """

    vips: frozenset[Address] = frozenset()
    backends: frozenset[Address] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.vips or self.backends)

    def after(self, old: Config, new: Config) -> Retired:
        """Return what is retired once `new` is in force instead of `old`."""
        vips, backends = addresses_of(old)
        new_vips, new_backends = addresses_of(new)
        return Retired(
            vips=(self.vips | vips) - new_vips, backends=(self.backends | backends) - new_backends
        )


NOTHING_RETIRED = Retired()


def addresses_of(config: Config) -> tuple[frozenset[Address], frozenset[Address]]:
    """Return the VIPs and the backends' addresses."""
    services = config.services.values()
    vips = frozenset(listen.address for service in services for listen in service.listen)
    return vips, frozenset(each.address for service in services for each in service.backends)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """A side's way out: its MTU, and who natlb's own ICMP errors come from there.

    `hosts` are the host's own addresses there, which its own processes call a VIP from.
    """

    mtu: int = LARGEST_MTU
    address4: IPv4Address | None = None
    address6: IPv6Address | None = None
    hosts: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both ways out."""

    public: WayOut = field(default_factory=WayOut)
    private: WayOut = field(default_factory=WayOut)


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
    endpoints = _endpoints(config, indices, retired, sides)
    access = AccessSteps(config)
    sources = sorted(config.datapath.source, key=lambda each: (each.version, int(each)))
    rings = _rings(config, indices, run_time, seed)
    tables: Tables = make(
        Kind.TABLES,
        endpoints=_endpoint_slots(len(endpoints)),
        services=_length(indices.services),
        backends=_length(indices.backends),
        rings=max(1, sum(ring.size for ring in rings.values())),
        timeouts=_length(indices.services),
        ways=2,
        access=max(1, len(access.steps)),
        sources=max(1, len(sources)),
    )
    for endpoint in endpoints.items():
        _store_endpoint(tables.endpoints, endpoint)
    _fill_services(tables, config, indices, rings)
    _fill_limits(tables, config, indices, sides)
    access.fill(tables, indices)
    for at, address in enumerate(sources):
        tables.sources[at] = lanes_of(address)
    _fill_backends(tables, config, indices, run_time)
    _fill_way(tables.ways[PUBLIC], PUBLIC, sides.public)
    _fill_way(tables.ways[PRIVATE], PRIVATE, sides.private)
    _fill_numbers(tables.numbers, config, seed, generation)
    for array in tables:
        array.flags.writeable = False
    return tables


EndpointName = tuple[Address, int, int]
EndpointMeaning = tuple[int, int]


def _length(numbers: Mapping[Any, int]) -> int:
    return 1 + max(numbers.values(), default=0)


def _endpoint_slots(count: int) -> int:
    """Return a power of two that `count` entries fill to a half at most."""
    return 1 << max(4, (2 * count).bit_length())


def _endpoints(
    config: Config, indices: Indices, retired: Retired, sides: Sides
) -> dict[EndpointName, EndpointMeaning]:
    """Return every (address, port, protocol) that means something, as (kind, service)."""
    found: dict[EndpointName, EndpointMeaning] = {}

    def mark(address: Address, kind: int) -> None:
        found[address, 0, 0] = (found.get((address, 0, 0), (0, 0))[0] | kind, 0)

    for service in config.services.values():
        index = indices.services[service.name]
        for listen in service.listen:
            mark(listen.address, VIP)
            key = listen.address, listen.port, PROTOCOLS[listen.protocol]
            found[key] = (SERVICE_ENDPOINT, index)
        for backend in service.backends:
            mark(backend.address, BACKEND_ADDRESS)
            for listen in service.listen:
                key = backend.address, backend.port or listen.port, PROTOCOLS[listen.protocol]
                found.setdefault(key, (BACKEND_ENDPOINT, index))
    for address in config.datapath.source:
        mark(address, SOURCE)
    for address in sides.public.hosts + sides.private.hosts:
        mark(address, HOST)
    for address in retired.vips:
        mark(address, VIP)
    for address in retired.backends:
        mark(address, BACKEND_ADDRESS)
    return found


def _store_endpoint(slots: Any, endpoint: tuple[EndpointName, EndpointMeaning]) -> None:
    (address, port, protocol), (kind, service) = endpoint
    lanes = lanes_of(address)
    at = endpoint_slot(lanes, port, protocol, slots.size)
    while slots[at]["kind"] != UNUSED:
        at = at + 1 & slots.size - 1
    slots[at] = (*lanes, port, protocol, kind, service)


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


def _fill_limits(tables: Tables, config: Config, indices: Indices, sides: Sides) -> None:
    for service in config.services.values():
        record = tables.services[indices.services[service.name]]
        record["unknown"] = REJECT if service.unknown == "reject" else SILENCE
        record["nat"] = FULL if service.nat == "full" else DNAT
        record["max_flows"] = service.max_flows or 0
        record["datagrams"] = service.datagrams
        smallest = min(sides.public.mtu, sides.private.mtu)
        clamp = service.mss_clamp
        record["mss"] = (smallest - TCP_OVER_IP4) if clamp is True else int(clamp)


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
        DIRECT: timeouts.tcp_transitory,
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


def _fill_way(record: Any, side: int, way: WayOut) -> None:
    record["side"], record["mtu"] = side, way.mtu
    record["address4"] = int(way.address4) if way.address4 else DUMMY_ADDRESS4
    if way.address6:
        for lane, word in enumerate(lanes_of(way.address6)):
            record[f"address6_{lane}"] = word


def takes_new_flows(service: ServiceConfig, run_time: Mapping[tuple[str, str], RunTime]) -> int:
    """Return how many of a service's backends take new flows."""
    return sum(
        run_time.get((service.name, backend.name), AS_CONFIGURED).effective_weight(backend) > 0
        for backend in service.backends
    )
