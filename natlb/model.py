"""The nouns of natlb as frozen values: what the API answers, the client returns and the CLI prints.

Field names and their order are those of the JSON documents, so `to_json()` is the document.
Nothing here knows where the values come from.

A member of WHERE_CONFIGURED that is None is left out of its document: it is about what few have.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

BackendStateName = Literal["ready", "draining", "maint"]
HealthName = Literal["up", "down", "unknown"]
FlowStateName = Literal["opening", "established", "closing", "unreplied", "replied"]
ProtocolName = Literal["tcp", "udp"]
EngineName = Literal["compiled", "interpreted"]
CheckStatusName = Literal["up", "down"]
WHERE_CONFIGURED = ("shadow", "fallbacks")


class Document:
    """A value that also reads as the document it is: `stats["packets"]["received"]`."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def keys(self) -> list[str]:
        """Return the names of its members, in the document's order; so `dict(value)` is made."""
        return list(members(self))


def members(value: Any) -> dict[str, Any]:
    """Return a document's members by name: one level, the values are as they are."""
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    for name in WHERE_CONFIGURED:
        if found.get(name, name) is None:
            del found[name]
    return found


def to_json(value: Any) -> Any:
    """Return a value of this module (or a list of them) as plain JSON data."""
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if is_dataclass(value):
        value = members(value)
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class PerDirection(Document):
    """A count for each direction: as the first packet of a flow went, and the other way."""

    original: int = 0
    reply: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(Document):
    """One tracked conversation."""

    service: str
    backend: str
    protocol: ProtocolName
    client: str
    vip: str
    server: str
    source: str | None
    state: FlowStateName
    worker: int
    age_seconds: float
    idle_seconds: float
    expires_seconds: float
    packets: PerDirection
    bytes: PerDirection


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFlows(Document):
    """How many flows a backend has now, how many of them are opening, how many it ever had."""

    current: int
    opening: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult(Document):
    """What a health check found: `status` of this one try, `code` in HAProxy's words, RFC 3339."""

    status: CheckStatusName
    code: str
    latency_ms: float
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPhase(Document):
    """A step of a check (`connect`, `handshake`, `request`), how long it took, what was seen."""

    name: str
    milliseconds: float
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport(Document):
    """One check, made now and told step by step; `reason` says in words what `code` says.

    Its `status` is `unknown` where natlb could not ask, which says nothing of the backend.
    """

    service: str
    name: str
    type: str
    target: str
    status: HealthName
    code: str
    reason: str
    latency_ms: float
    at: str
    phases: list[CheckPhase]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckHistory(Document):
    """A backend's health and how it came about: its last ten results, the youngest first.

    `passive` says since when and why traffic itself speaks against it, None where it does not.
    """

    service: str
    name: str
    health: HealthName
    rise: int
    fall: int
    since: str | None
    passive: str | None
    results: list[CheckResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Document):
    """One real server's endpoint in a pool."""

    service: str
    name: str
    address: str
    weight: int
    effective_weight: float  # a whole number but in slow start
    backup: bool
    state: BackendStateName
    health: HealthName
    flows: BackendFlows
    packets: PerDirection
    bytes: PerDirection
    check: CheckResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeTimes(Document):
    """How many first answers of a backend were seen on the wire, and how long all of them took."""

    service: str
    name: str
    count: int
    sum_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCount(Document):
    """How many backends a service has, and how many of them are fit for new flows.

    Those are ready, of some weight and not down; backups that wait are among them.
    """

    total: int
    up: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFlows(Document):
    """How many flows a service has now and how many it ever had."""

    current: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadCounts(Document):
    """How many of the compared flows a backend got, and how many the shadow would have sent it."""

    policy: int
    shadow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow(Document):
    """What a service's second policy would have done; `spread` is by backend."""

    policy: str
    compared: int
    differed: int
    spread: dict[str, SpreadCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Document):
    """(VIP, port, protocol), a policy and a pool.

    `shadow` is there where one is configured, `fallbacks` with a policy of the user's own: flows
    that it could not choose for.
    """

    name: str
    listen: list[str]
    policy: str
    nat: str
    backends: PoolCount
    flows: ServiceFlows
    new_flows_per_second: float
    shadow: Shadow | None = None
    fallbacks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatistics(Document):
    """One worker process."""

    index: int
    pid: int
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketCounts(Document):
    """Where packets went; `received` is the sum of the next five at a quiet moment."""

    received: int
    forwarded: int
    passed: int
    replied: int
    dropped: int
    held: int
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteCounts(Document):
    """Octets from the IP header on, as on the wire."""

    received: int
    forwarded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCounts(Document):
    """The flow table's life in numbers."""

    current: int
    peak: int
    opened: int
    closed: int
    expired: int
    evicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics(Document):
    """All counters of an instance; only reasons that were seen are listed.

    `shadow` and `fallbacks` are by service, of those that have them.
    """

    generation: int
    uptime_seconds: float
    workers: list[WorkerStatistics]
    packets: PacketCounts
    bytes: ByteCounts
    flows: FlowCounts
    drops: dict[str, int]
    replies: dict[str, int]
    shadow: dict[str, Shadow] | None = None
    fallbacks: dict[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIds(Document):
    """The processes of an instance."""

    supervisor: int
    control: int
    workers: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus(Document):
    """A service in one line."""

    name: str
    up: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Document):
    """What was changed at run time and so differs from the file.

    `field` is `state`, `weight`, or `backend` for one that only one of the two has: its address,
    and None on the other side.
    """

    backend: str
    field: str
    file: str | int | None
    now: str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Document):
    """Whether natlb forwards, and what it is made of."""

    ready: bool
    version: str
    engine: EngineName
    driver: str
    generation: int
    config: str
    pid: ProcessIds
    services: list[ServiceStatus]
    changes: list[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload(Document):
    """What a reload did: `added`, `removed`, `changed` name services and `service/backend`s."""

    generation: int
    added: list[str]
    removed: list[str]
    drained: list[str]
    changed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Document):
    """What `config save` wrote: the file, and the changes that are the file's now."""

    config: str
    changes: list[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Document):
    """A change that natlb made or noticed: `id` rises, `kind` is the word of the log's line."""

    id: int
    at: str
    level: str
    kind: str
    fields: dict[str, str | int | float | bool | list[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush(Document):
    """What a flush did."""

    flushed: int
    resets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFilter(Document):
    """Which flows are meant; None means any. `client` is an address or a prefix."""

    service: str | None = None
    backend: str | None = None
    client: str | None = None
    state: str | None = None
    protocol: str | None = None
