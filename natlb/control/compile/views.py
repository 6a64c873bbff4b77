"""From what workers wrote to the values that the API answers: indexes become names again.

Workers write on while this reads: a row is copied and looked at again, and one that changed hands
meanwhile is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from natlb.control.compile.addresses import address_of, endpoint, lanes_of
from natlb.control.compile.pools import service_pool, weight_in_force
from natlb.control.compile.run_time import AS_CONFIGURED
from natlb.control.compile.shadows import fallbacks_of, shadow_of
from natlb.core.layout import (
    ANSWERED,
    BYTES_FORWARDED,
    BYTES_RECEIVED,
    CLOSED,
    CLOSING,
    CURRENT,
    EVICTED,
    EXPIRED,
    FIRST_LIVE,
    FRESH,
    MARK_DOUBTED,
    OPENED,
    PEAK,
    PROTOCOLS,
    STATE_LABELS,
)
from natlb.core.verdict import REASON_LABELS
from natlb.errors import UsageError
from natlb.model import (
    Backend,
    BackendFlows,
    ByteCounts,
    Flow,
    FlowCounts,
    Flush,
    PacketCounts,
    PerDirection,
    PoolCount,
    Service,
    ServiceFlows,
    Statistics,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from natlb.control.compile.indices import Indices
    from natlb.control.compile.run_time import RunTime
    from natlb.control.config import Config
    from natlb.control.config.values import BackendConfig, ServiceConfig
    from natlb.core.counters import Counters
    from natlb.core.flow_table import FlowTable
    from natlb.core.tables import Tables
    from natlb.model import CheckResult, FlowFilter, WorkerStatistics

T = TypeVar("T")
MOST_AT_ONCE = 65536  # rows copied and judged together
STATES = frozenset(STATE_LABELS.values())
GONE = "-"  # the name of a service or backend that nobody remembers


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything needed to put names to numbers; `flows` and `counters` are by worker.

    `now_ms` is the time of the flow table's clock; `checks` are the last of each backend.
    """

    config: Config
    indices: Indices
    run_time: Mapping[tuple[str, str], RunTime]
    tables: Tables
    flows: Sequence[FlowTable]
    counters: Sequence[Counters]
    now_ms: int
    checks: Mapping[tuple[str, str], CheckResult] = field(default_factory=dict)

    def list_flows(self, wanted: FlowFilter, limit: int | None) -> list[Flow]:
        """Return the live flows that a filter names, at most `limit`, in the table's order."""
        names = _Names(self.indices)
        found: list[Flow] = []
        for worker, table in enumerate(self.flows):
            for start in range(1, int(table.meta[FRESH]), MOST_AT_ONCE):
                rows = _live_rows(table, start, start + MOST_AT_ONCE)
                rows = rows[self._are_wanted(rows, wanted)]
                room = rows.size if limit is None else limit - len(found)
                found += [self._flow(row, worker, names) for row in rows[:room]]
        return found

    def count_flows(self, wanted: FlowFilter) -> Flush:
        """Return how many live flows a filter names, and how many resets would tell their ends.

        An end that has not answered yet hears of none.
        """
        flows = resets = 0
        for table in self.flows:
            for start in range(1, int(table.meta[FRESH]), MOST_AT_ONCE):
                rows = _live_rows(table, start, start + MOST_AT_ONCE)
                rows = rows[self._are_wanted(rows, wanted)]
                tcp = rows[rows["protocol"] == PROTOCOLS["tcp"]]
                has_answered = (tcp["state"] > ANSWERED) | (tcp["reply"]["packets"] > 0)
                flows, resets = flows + rows.size, resets + tcp.size + int(has_answered.sum())
        return Flush(flushed=flows, resets=resets)

    def backend(self, service: str, name: str) -> Backend:
        """Return one backend of the configuration."""
        owner = self.config.services[service]
        backend = next(each for each in owner.backends if each.name == name)
        serving = {each.name for each in service_pool(owner, self.run_time).members}
        return self._backend(owner, backend, serving)

    def list_backends(self, service: str | None = None) -> list[Backend]:
        """Return the backends of one service, or of all, in the order of the configuration."""
        return [
            backend
            for owner in self.config.services.values()
            if service in (None, owner.name)
            for backend in self._backends(owner)
        ]

    def list_services(self, new_flows_per_second: Mapping[str, float]) -> list[Service]:
        """Return the services in the order of the configuration."""
        return [
            self._service(service, new_flows_per_second.get(service.name, 0.0))
            for service in self.config.services.values()
        ]

    def statistics(
        self,
        *,
        generation: int,
        uptime_seconds: float,
        workers: list[WorkerStatistics],
        peak_seen: int = 0,
    ) -> Statistics:
        """Return all counters, summed over the workers.

        Each worker knows its own peak, at a moment of its own: the highest of these and of the
        sums that were looked at (`peak_seen`) is a peak that there was. One worker's is exact.
        """
        totals = _sum([counters.totals for counters in self.counters])
        meta = _sum([table.meta for table in self.flows])
        names = ("received", "forwarded", "passed", "replied", "dropped", "held", "sent")
        return Statistics(
            generation=generation,
            uptime_seconds=round(uptime_seconds, 3),
            workers=workers,
            packets=PacketCounts(**{name: int(totals[at]) for at, name in enumerate(names)}),
            bytes=ByteCounts(
                received=int(totals[BYTES_RECEIVED]), forwarded=int(totals[BYTES_FORWARDED])
            ),
            flows=FlowCounts(
                current=int(meta[CURRENT]),
                peak=max(peak_seen, *(int(table.meta[PEAK]) for table in self.flows)),
                opened=int(meta[OPENED]),
                closed=int(meta[CLOSED]),
                expired=int(meta[EXPIRED]),
                evicted=int(meta[EVICTED]),
            ),
            drops=_by_reason([counters.drops for counters in self.counters]),
            replies=_by_reason([counters.replies for counters in self.counters]),
            shadow=self._by_service(shadow_of),
            fallbacks=self._by_service(fallbacks_of),
        )

    def flows_opened(self, service: str) -> int:
        """Return how many flows a service ever had."""
        return int(self._counts("services", self.indices.services[service])["total"])

    def _are_wanted(self, rows: NDArray[Any], wanted: FlowFilter) -> NDArray[np.bool_]:
        chosen = np.ones(rows.size, np.bool_)
        if wanted.service is not None:
            chosen &= rows["service"] == self.indices.services.get(wanted.service, -1)
        if wanted.backend is not None:
            chosen &= np.isin(rows["backend"], backend_numbers(self.indices, wanted))
        if wanted.state is not None:
            chosen &= (state_set(wanted.state) >> rows["state"].astype(np.int64) & 1).astype(
                np.bool_
            )
        if wanted.protocol is not None:
            chosen &= rows["protocol"] == PROTOCOLS[wanted.protocol]
        if wanted.client is not None:
            chosen &= _are_in(rows["original"], *client_prefix(wanted.client))
        return chosen

    def _flow(self, row: Any, worker: int, names: _Names) -> Flow:
        original, reply = row["original"], row["reply"]
        service, backend = names.of(int(row["service"]), int(row["backend"]))
        idle = (self.now_ms - int(row["seen"])) & 0xFFFFFFFF
        idle = idle if idle < 1 << 31 else 0
        timer = CLOSING if int(row["marks"]) & MARK_DOUBTED else int(row["state"])
        timeout = int(self.tables.timeouts[int(row["service"]), timer])
        age = ((self.now_ms >> 5) - int(row["created"])) & 0xFFFFFFFF
        return Flow(
            service=service,
            backend=backend,
            protocol="tcp" if row["protocol"] == PROTOCOLS["tcp"] else "udp",
            client=_endpoint_of(original, "source"),
            vip=_endpoint_of(original, "destination"),
            server=_endpoint_of(reply, "source"),
            source=_source_of(original, reply),
            state=STATE_LABELS[int(row["state"])],  # type: ignore[arg-type] # the labels are the names
            worker=worker,
            age_seconds=round(max(age << 5, idle) / 1000, 3),
            idle_seconds=round(idle / 1000, 3),
            expires_seconds=round(max(0, timeout - idle) / 1000, 3),
            packets=_per_direction(row, "packets"),
            bytes=_per_direction(row, "bytes"),
        )

    def _backends(self, service: ServiceConfig) -> list[Backend]:
        serving = {backend.name for backend in service_pool(service, self.run_time).members}
        return [self._backend(service, backend, serving) for backend in service.backends]

    def _backend(
        self, service: ServiceConfig, backend: BackendConfig, serving: AbstractSet[str]
    ) -> Backend:
        name = service.name, backend.name
        now = self.run_time.get(name, AS_CONFIGURED)
        counts = self._counts("backends", self.indices.backends[name])
        port = backend.port or service.listen[0].port
        return Backend(
            service=service.name,
            name=backend.name,
            address=endpoint(backend.address, port),
            weight=now.weight_of(backend),
            effective_weight=weight_in_force(service, backend, now, self.now_ms)
            if backend.name in serving
            else 0,
            backup=backend.backup,
            state=now.state,
            health=now.health,
            flows=BackendFlows(
                current=counts["current"], opening=counts["opening"], total=counts["total"]
            ),
            packets=_traffic(counts, "packets"),
            bytes=_traffic(counts, "bytes"),
            check=self.checks.get(name),
        )

    def _service(self, service: ServiceConfig, new_flows_per_second: float) -> Service:
        counts = self._counts("services", self.indices.services[service.name])
        return Service(
            name=service.name,
            listen=[str(listen) for listen in service.listen],
            policy=service.policy.name,
            nat=service.nat,
            backends=PoolCount(
                total=len(service.backends), up=service_pool(service, self.run_time).up
            ),
            flows=ServiceFlows(current=counts["current"], total=counts["total"]),
            new_flows_per_second=round(new_flows_per_second, 1),
            shadow=shadow_of(service, self.indices, self.counters),
            fallbacks=fallbacks_of(service, self.indices, self.counters),
        )

    def _by_service(self, count: Callable[..., T | None]) -> dict[str, T] | None:
        """Return what is counted of choices, by service; None where there is nothing to count."""
        counted = {
            name: count(service, self.indices, self.counters)
            for name, service in self.config.services.items()
        }
        return {name: each for name, each in counted.items() if each is not None} or None

    def _counts(self, of: str, index: int) -> dict[str, int]:
        """Return a COUNT record summed over the workers."""
        records = [getattr(counters, of)[index] for counters in self.counters]
        fields = records[0].dtype.names
        return {field: sum(int(record[field]) for record in records) for field in fields}


class _Names:
    """The names of indexes, looked up once for a whole list."""

    def __init__(self, indices: Indices) -> None:
        self._services = indices.service_names()
        self._backends = indices.backend_names()

    def of(self, service: int, backend: int) -> tuple[str, str]:
        return self._services.get(service, GONE), self._backends.get(backend, (GONE, GONE))[1]


def uncounted(backend: Backend) -> Backend:
    """Return a backend that has no number yet, whatever is counted under the one it may get."""
    flows, none = BackendFlows(current=0, opening=0, total=0), PerDirection()
    return replace(backend, flows=flows, packets=none, bytes=none)


def backend_numbers(indices: Indices, wanted: FlowFilter) -> list[int]:
    """Return the indexes that a filter's backend name means, in its service or in all."""
    return [
        index
        for (service, name), index in indices.backends.items()
        if name == wanted.backend and wanted.service in (None, service)
    ]


def client_prefix(text: str) -> tuple[tuple[int, int, int, int], int]:
    """Return a client address or prefix as lanes and a length of 0 to 128 bits.

    Raises UsageError where the text is neither.
    """
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        message = f"client={text} is neither an address nor a prefix"
        raise UsageError(message, fix="client=198.51.100.0/24") from error
    bits = network.prefixlen + (96 if network.version == 4 else 0)
    return lanes_of(network.network_address), bits


def state_set(label: str) -> int:
    """Return the states that a flow's label covers, each as 1 << state."""
    return sum(1 << state for state, name in STATE_LABELS.items() if name == label)


def _live_rows(table: FlowTable, start: int, end: int) -> NDArray[Any]:
    """Return copies of the live rows in `start:end` that nobody changed while they were copied."""
    end = min(end, int(table.meta[FRESH]))
    numbers = np.flatnonzero(table.rows["state"][start:end] >= FIRST_LIVE) + start
    rows = table.rows[numbers]
    again = table.rows["generation"][numbers]
    still = (again == rows["generation"]) & (table.rows["state"][numbers] >= FIRST_LIVE)
    steady: NDArray[Any] = rows[still & (rows["state"] >= FIRST_LIVE)]
    return steady


def _are_in(keys: NDArray[Any], lanes: tuple[int, int, int, int], bits: int) -> NDArray[np.bool_]:
    """Return which keys' sources agree with `lanes` in the first `bits`."""
    inside = np.ones(keys.size, np.bool_)
    for lane, word in enumerate(lanes):
        counted = min(32, max(0, bits - 32 * lane))
        mask = np.uint32(0xFFFFFFFF << (32 - counted) & 0xFFFFFFFF)
        inside &= (keys[f"source{lane}"] ^ np.uint32(word)) & mask == 0
    return inside


def _endpoint_of(key: Any, end: str) -> str:
    lanes = [int(key[f"{end}{lane}"]) for lane in range(4)]
    return endpoint(address_of(lanes), int(key[f"{end}_port"]))


def _source_of(original: Any, reply: Any) -> str | None:
    """Return natlb's own endpoint where backends do not see the client's."""
    source = _endpoint_of(reply, "destination")
    return None if source == _endpoint_of(original, "source") else source


def _per_direction(row: Any, field: str) -> PerDirection:
    return PerDirection(original=int(row["original"][field]), reply=int(row["reply"][field]))


def _traffic(counts: Mapping[str, int], field: str) -> PerDirection:
    return PerDirection(original=counts[f"{field}_original"], reply=counts[f"{field}_reply"])


def _sum(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.sum(np.stack(arrays), axis=0)
    return total


def _by_reason(arrays: Sequence[NDArray[np.int64]]) -> dict[str, int]:
    """Return counts by reason, those that were seen; place 0 is the echo."""
    counted = _sum(arrays)
    return {label: int(counted[at]) for at, label in REASON_LABELS.items() if counted[at]}
