"""Every (address, port, protocol) that means something to the core, as its hash table holds them.

    address, 0, 0              what the address is: VIP, BACKEND_ADDRESS, SOURCE, HOST, SHARED
    VIP, port, protocol        SERVICE_ENDPOINT, of that service
    backend, port, protocol    BACKEND_ENDPOINT, of the first service that has it

A range of ports is an entry for each: a service on all ports of a VIP, with ten backends that
keep the port, comes to 700,000. So they are made and stored as arrays (0.7 s for so many; one by
one they took 3 s, at each change of a weight).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from natlb.control.compile.addresses import Address, lanes_of
from natlb.core.layout import (
    BACKEND_ADDRESS,
    BACKEND_ENDPOINT,
    ENDPOINT,
    HOST,
    PROTOCOLS,
    SERVICE_ENDPOINT,
    SHARED,
    SOURCE,
    UNUSED,
    VIP,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from natlb.control.compile.indices import Indices
    from natlb.control.compile.sides import Sides
    from natlb.control.config import Config
    from natlb.control.config.values import ServiceConfig


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


def addresses_of(config: Config) -> tuple[frozenset[Address], frozenset[Address]]:
    """Return the VIPs and the backends' addresses."""
    services = config.services.values()
    vips = frozenset(listen.address for service in services for listen in service.listen)
    return vips, frozenset(each.address for service in services for each in service.backends)


class _Range(NamedTuple):
    """Neighbouring ports of an address that mean the same."""

    address: Address
    port: int
    ports: int
    protocol: int
    kind: int
    service: int


def endpoints_of(
    config: Config, indices: Indices, retired: Retired, sides: Sides
) -> NDArray[np.void]:
    """Return an ENDPOINT for all that means something, each once, by address.

    So one configuration gives the same octets in every process: addresses in a set have an order
    that Python draws anew each time it starts.
    """
    kinds = _kinds_of_addresses(config, retired, sides)
    ranges = [_Range(address, 0, 1, 0, kind, 0) for address, kind in kinds.items()]
    for service in config.services.values():
        ranges += _listened(service, indices.services[service.name])
    for service in config.services.values():
        ranges += _answering(service, indices.services[service.name])
    in_order = sorted(kinds, key=lanes_of)
    return _each_once(ranges, {address: at for at, address in enumerate(in_order)})


def _kinds_of_addresses(config: Config, retired: Retired, sides: Sides) -> dict[Address, int]:
    """Return what each address is; the host keeps its own of a VIP that is its address."""
    vips, backends = addresses_of(config)
    kinds: defaultdict[Address, int] = defaultdict(int)
    for addresses, kind in (
        (vips | retired.vips, VIP),
        (backends | retired.backends, BACKEND_ADDRESS),
        (config.datapath.source, SOURCE),
        (sides.hosts, HOST),
        (sides.hosts & (vips | retired.vips), SHARED),
    ):
        for address in addresses:
            kinds[address] |= kind
    return kinds


def _listened(service: ServiceConfig, index: int) -> Iterator[_Range]:
    """Yield what clients call."""
    for listen in service.listen:
        protocol = PROTOCOLS[listen.protocol]
        yield _Range(listen.address, listen.port, listen.ports, protocol, SERVICE_ENDPOINT, index)


def _answering(service: ServiceConfig, index: int) -> Iterator[_Range]:
    """Yield what backends answer from: their port, or all that clients call."""
    called = {(listen.protocol, listen.port, listen.ports) for listen in service.listen}
    protocols = sorted({protocol for protocol, _, _ in called})
    for backend in service.backends:
        port = backend.port
        where = sorted(called) if port is None else [(each, port, 1) for each in protocols]
        for protocol, first, ports in where:
            number = PROTOCOLS[protocol]
            yield _Range(backend.address, first, ports, number, BACKEND_ENDPOINT, index)


def _each_once(ranges: list[_Range], numbers: dict[Address, int]) -> NDArray[np.void]:
    """Return an ENDPOINT for each port of all ranges; of equal ones the first."""
    lanes = {address: lanes_of(address) for address in numbers}
    heads = np.array(
        [(*lanes[r.address], r.port, r.protocol, r.kind, r.service) for r in ranges], ENDPOINT
    )
    counts = np.array([r.ports for r in ranges], np.int64)
    total = int(counts.sum())
    steps = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.repeat(heads, counts)
    found["port"] += steps.astype(np.uint16)
    address = np.repeat(np.array([numbers[r.address] for r in ranges], np.int64), counts)
    names = address << 24 | found["protocol"].astype(np.int64) << 16 | found["port"]
    endpoints: NDArray[np.void] = found[np.unique(names, return_index=True)[1]]
    return endpoints


def slots_for(endpoints: NDArray[np.void]) -> int:
    """Return a power of two that these fill to a half at most."""
    return 1 << max(4, (2 * endpoints.size).bit_length())


def store_endpoints(slots: NDArray[np.void], endpoints: NDArray[np.void]) -> None:
    """Put each where the search for it begins, or into the next slot that is free.

    All at once, in rounds: of those that meet at a free slot one gets it, and the others go on,
    as they do from a slot that is taken. What a search passes over is so always in use.
    """
    at = _first_slots(endpoints, slots.size)
    left = np.arange(endpoints.size)
    while left.size:
        gets = np.zeros(left.size, np.bool_)
        gets[np.unique(at[left], return_index=True)[1]] = True
        gets &= slots["kind"][at[left]] == UNUSED
        slots[at[left[gets]]] = endpoints[left[gets]]
        left = left[~gets]
        at[left] = at[left] + 1 & slots.size - 1


def _first_slots(endpoints: NDArray[np.void], slots: int) -> NDArray[np.int64]:
    """Return `core.tables.endpoint_slot()` of each."""
    hashed = _second_hash(endpoints["port"].astype(np.int64) << 8 | endpoints["protocol"])
    for lane in range(4):
        hashed = _second_hash(hashed ^ endpoints[f"address{lane}"])
    return hashed & slots - 1


def _second_hash(first: Any) -> NDArray[np.int64]:
    """Return `core.hashing.second_hash()` of each: a kernel takes no arrays of them."""
    hashed: NDArray[np.int64] = first
    for _ in range(2):
        hashed = (hashed ^ hashed >> 16) * 0x45D9F3B & 0xFFFFFFFF
    return hashed ^ hashed >> 16
