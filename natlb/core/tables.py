"""The compiled tables of a generation: who is called, who answers, where packets leave.

Made by control (`control/compile/`), never edited: a change is a new generation, which the worker
takes between two batches. Endpoints lie in an open-addressed hash table at most half full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from natlb.core.hashing import WORD, State, second_hash
from natlb.core.layout import SERVICE_ENDPOINT, UNUSED
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_SERVICE_INDEX = -1


class Tables(NamedTuple):
    """Read-only arrays; services and backends are at the index that rows and counters use."""

    endpoints: NDArray[np.void]  # ENDPOINT[2^n]
    services: NDArray[np.void]  # SERVICE
    choices: NDArray[np.void]  # CHOICE, CHOICES for each service
    backends: NDArray[np.void]  # BACKEND
    rings: NDArray[np.int32]  # pools, and what policies look up, one behind the other
    timeouts: NDArray[np.int64]  # [service, state], milliseconds
    ways: NDArray[np.void]  # WAY; PUBLIC and PRIVATE first
    access: NDArray[np.void]  # ACCESS_STEP, each service's steps one behind the other
    sources: NDArray[np.void]  # SOURCE_ADDRESS
    numbers: NDArray[np.int64]  # TABLE_NUMBERS


TABLE_NUMBERS = (
    "generation",
    "seed0",
    "seed1",
    "error_rate",  # ICMP errors and resets of natlb's own, a second
    "sources4",  # how many of `sources` are IPv4; the others are IPv6
    "sources6",
    "port_first",  # of full NAT
    "port_last",
    "most_per_source",  # flows of one client address (IPv6: /64); 0: no limit
    "fragments",  # datagrams followed at once
    "fragment_ms",  # how long a datagram's pieces are waited for
    *(f"reserved{number}" for number in range(5)),
)
TABLE_GENERATION, SEED0, SEED1, ERROR_RATE, SOURCES4, SOURCES6, PORT_FIRST, PORT_LAST = range(8)
MOST_PER_SOURCE, FRAGMENTS, FRAGMENT_MS = range(8, 11)


@kernel
def endpoint_slot(lanes: State, port: int, protocol: int, slots: int) -> int:
    """Return where the search for an endpoint begins; `slots` is a power of two.

    Not keyed: only what is configured is ever stored, so nobody can crowd the table.
    """
    h = second_hash((port << 8 | protocol) & WORD)
    for lane in lanes:
        h = second_hash(h ^ lane)
    return h & slots - 1


@kernel
def find_endpoint(tables: Tables, lanes: State, port: int, protocol: int) -> int:
    """Return the position of (address, port, protocol) in `tables.endpoints`, or -1."""
    slots = tables.endpoints.size
    at = endpoint_slot(lanes, port, protocol, slots)
    while True:
        endpoint = tables.endpoints[at]
        if i64(endpoint["kind"]) == UNUSED:
            return -1
        if _is_endpoint(endpoint, lanes, port, protocol):
            return at
        at = at + 1 & slots - 1


@kernel
def _is_endpoint(endpoint: Any, lanes: State, port: int, protocol: int) -> bool:
    """Return whether an entry is this endpoint's."""
    return (
        i64(endpoint["address3"]) == lanes[3]
        and i64(endpoint["port"]) == port
        and i64(endpoint["protocol"]) == protocol
        and i64(endpoint["address2"]) == lanes[2]
        and i64(endpoint["address1"]) == lanes[1]
        and i64(endpoint["address0"]) == lanes[0]
    )


@kernel
def kind_of_address(tables: Tables, lanes: State) -> int:
    """Return what an address is to natlb: a set of VIP and BACKEND_ADDRESS, or UNUSED."""
    at = find_endpoint(tables, lanes, 0, 0)
    return UNUSED if at < 0 else i64(tables.endpoints[at]["kind"])


@kernel
def has_sources(tables: Tables) -> bool:
    """Return whether there is any address for full NAT."""
    return bool(tables.numbers[SOURCES4] + tables.numbers[SOURCES6] > 0)


@kernel
def find_service(tables: Tables, lanes: State, port: int, protocol: int) -> int:
    """Return the index of the service that listens there, or NO_SERVICE_INDEX."""
    at = find_endpoint(tables, lanes, port, protocol)
    if at < 0 or i64(tables.endpoints[at]["kind"]) != SERVICE_ENDPOINT:
        return NO_SERVICE_INDEX
    return i64(tables.endpoints[at]["service"])


@kernel
def backend_lanes(backend: Any) -> State:
    """Return a backend's address."""
    return (
        i64(backend["address0"]),
        i64(backend["address1"]),
        i64(backend["address2"]),
        i64(backend["address3"]),
    )
