"""What may stand in a configuration: every key of this version, its default and its values.

These models check one value at a time; what holds between values is in `checks.py`, and the keys
of later versions in `later.py`. Names, defaults and descriptions are also what the JSON schema
and the table in docs/configuration.md are made of.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from natlb.control.config.checking import Check, CheckShape
from natlb.control.config.choosing import (
    AffinityShape,
    AffinityValue,
    Policy,
    PolicyShape,
    Shadow,
    Shape,
    SlowStartShape,
    SlowStartValue,
)
from natlb.control.config.kinds import (
    ApiListen,
    Count,
    Duration,
    EndpointValue,
    GivenName,
    Limit,
    Listens,
    MssClamp,
    Name,
    PathValue,
    PortRange,
    Prefixes,
    Seed,
    Share,
    SideValue,
    Sources,
    TokenFile,
    Weight,
    Within,
)
from natlb.control.config.values import (
    API_LISTEN,
    ERROR_RATE,
    FRAGMENTS,
    MAX_FLOWS,
    STATE,
    DriverName,
    LogFormat,
    LogLevel,
    Nat,
    NoBackend,
    OnDown,
    OnRemove,
    OutputName,
    Timeouts,
    Unknown,
)
from natlb.control.roles import MOST_WORKERS

DEFAULTS = Timeouts()

MOST_FRAGMENTS = 1 << 16
MOST_ERRORS = 1_000_000
MOST_DATAGRAMS = 65_535


def _as_backend(value: object) -> object:
    """Return an address as the backend that has nothing else."""
    return value if isinstance(value, dict) else {"address": value}


class DatapathShape(Shape):
    """`datapath`: a change needs a restart."""

    driver: DriverName = Field(
        default="auto",
        description="where packets come in: `auto` (the best there is), `tun`, `packet` (raw"
        " sockets) or `xdp`",
    )
    output: OutputName = Field(
        default="auto",
        description="how they leave with `tun`: `direct` (straight to the other interface),"
        " `route` (back through the host's routing), or `auto`: direct where the host neither"
        " tracks nor filters what it forwards",
    )
    workers: Annotated[int, Within(1, MOST_WORKERS)] = Field(
        default=1, description="processes that forward, each with flows of its own"
    )
    public: SideValue = Field(
        default=None,
        description="the clients' side: a list of interfaces, or `{netns: NAME}` when that side is"
        " another network namespace; by default the interface whose subnet holds the VIP, else"
        " that of the default route, else all that are not private",
    )
    private: SideValue = Field(
        default=None,
        description="the backends' side, written as `public`; by default the interfaces that"
        " route to the backends",
    )
    max_flows: Count = Field(
        default=MAX_FLOWS, description="flows that are tracked at once, 1 to 16777215"
    )
    max_flows_per_source: Limit = Field(
        default=None,
        description="flows that one client address (IPv6: one /64) may have at once, or `none`: no"
        " limit",
    )
    fragments: Annotated[int, Within(1, MOST_FRAGMENTS)] = Field(
        default=FRAGMENTS,
        description="fragmented datagrams that are followed at once, 1 to 65536",
    )
    error_rate: Annotated[int, Within(0, MOST_ERRORS)] = Field(
        default=ERROR_RATE,
        description="ICMP errors and resets of natlb's own, a second, 0 to 1000000",
    )
    source: Sources = Field(
        default=[],
        description="addresses that natlb takes on the backends' side for full NAT, at most 1024:"
        " a list of `ADDRESS`, `FIRST-LAST` or prefixes, or `none`; no addresses of the host, VIPs"
        " or backends",
    )
    source_ports: PortRange = Field(
        default="1024-65535", description="the ports of `source` that full NAT uses, `FIRST-LAST`"
    )


class AccessShape(Shape):
    """`access`: an address that is in neither list may call if `allow` is empty."""

    allow: Prefixes = Field(
        default=[],
        description="clients that may open flows, a list of prefixes or addresses; all if empty",
    )
    deny: Prefixes = Field(
        default=[], description="clients that may not, though `allow` names them"
    )


class TimeoutsShape(Shape):
    """`timeouts`: how long a flow without packets lives; each at most 24 days."""

    tcp_established: Duration = Field(
        default=DEFAULTS.tcp_established, description="TCP, established or half-closed"
    )
    tcp_opening: Duration = Field(
        default=DEFAULTS.tcp_opening, description="TCP, not yet established"
    )
    tcp_transitory: Duration = Field(
        default=DEFAULTS.tcp_transitory, description="TCP, after a FIN each way or a RST"
    )
    udp: Duration = Field(default=DEFAULTS.udp, description="UDP that was answered")
    udp_unreplied: Duration = Field(
        default=DEFAULTS.udp_unreplied, description="UDP that was not answered yet"
    )
    fragment: Duration = Field(
        default=DEFAULTS.fragment, description="a datagram of which fragments are missing"
    )


class BackendShape(Shape):
    """A backend as a mapping."""

    name: GivenName = Field(
        default=None,
        description="what commands call it, unique in the service; by default the address as"
        " written",
    )
    address: EndpointValue = Field(
        description="`ADDRESS` or `ADDRESS:PORT`, IPv6 with a port in brackets; without a port"
        " each packet keeps the one it was sent to"
    )
    weight: Weight = Field(
        default=1, description="its share of the flows beside the others', 0 (no new ones) to 65535"
    )
    max_flows: Limit = Field(
        default=None,
        description="flows that it may have at once, opening and established, or `none`: no limit",
    )
    backup: bool = Field(
        default=False, description="whether it serves only when no other backend is up"
    )
    check: Check = Field(
        default=CheckShape(),
        description="this backend's own health check, laid over the service's key by key; `none`:"
        " no check; by default the service's",
    )


Backend = Annotated[
    BackendShape, BeforeValidator(_as_backend, json_schema_input_type=str | BackendShape)
]


class ServiceShape(Shape):
    """A service."""

    listen: Listens = Field(
        description="what clients call: `tcp://ADDRESS:PORT` or `udp://ADDRESS:PORT`, IPv6 in"
        " brackets, for many ports `FIRST-LAST`; or a list of them"
    )
    mode: Literal["packet"] = Field(default="packet", description="`packet`")
    policy: Policy = Field(
        default=PolicyShape(name="round-robin"),
        description="how a new flow gets its backend: a name, or `{name: NAME, PARAMETER: VALUE}`",
    )
    shadow: Shadow = Field(
        default=None,
        description="a second policy, written as `policy`, that is asked for each new flow as well;"
        " its answers are counted and not used; or `none`",
    )
    affinity: AffinityValue = Field(
        default=None,
        description="new flows of a client go where its last one went: a mapping, `{}` for all"
        " defaults, or `none`",
    )
    slow_start: SlowStartValue = Field(
        default=None,
        description="a backend that comes into a running pool gets its weight little by little: a"
        " duration or a mapping, or `none`",
    )
    panic_threshold: Share = Field(
        default=0.0,
        description="with a smaller share of the pool up, health is ignored: 0 (never) to 1",
    )
    nat: Nat = Field(
        default="dnat",
        description="`dnat`: backends see the client's address, and answer through natlb; `full`:"
        " they see one of `datapath.source`",
    )
    backends: list[Backend] = Field(
        description="the pool: a list of `ADDRESS`, `ADDRESS:PORT` or mappings; one of another IP"
        " version than the client is called from `datapath.source`"
    )
    max_flows: Limit = Field(
        default=None, description="flows that the service may have at once, or `none`: no limit"
    )
    access: AccessShape = Field(
        default=AccessShape(),
        description="`allow` and `deny` for this service; the global ones hold as well",
    )
    check: Check = Field(
        default=CheckShape(),
        description="how each backend is asked whether it is well: a mapping, `{}` for all"
        " defaults, or `none`, which is the default of a service that listens on UDP alone",
    )
    no_backend: NoBackend = Field(
        default="reject",
        description="what a client hears when no backend takes new flows: `reject` (a reset, or"
        " ICMP unreachable) or `drop` (silence)",
    )
    unknown: Unknown = Field(
        default="reject",
        description="what the sender of a TCP packet hears that begins no flow and is of none:"
        " `reject` (a reset), `drop` (silence) or `adopt` (it goes to the backend that a policy by"
        " hash gives its client, as if its flow had never been lost)",
    )
    passive: bool = Field(
        default=True,
        description="whether a backend that does not answer clients' first packets, or resets"
        " them, gets no new flows for a while, 5 seconds at first",
    )
    on_down: OnDown = Field(
        default="keep",
        description="established TCP flows of a backend that went down: `keep` or `reset` (both"
        " ends are told); UDP flows move to another either way",
    )
    on_remove: OnRemove = Field(
        default="drain",
        description="what a backend that is removed does with its flows: `drain` (they go on to"
        " their end) or `reset` (both ends of TCP are told, and UDP moves)",
    )
    mss_clamp: MssClamp = Field(
        default=False,
        description="the largest segment (MSS) that both ends of TCP may ask for: `false` (as they"
        " like), `true` (what both ways out take whole) or a number, 88 to"
        " 65495",
    )
    datagrams: Annotated[int, Within(0, MOST_DATAGRAMS)] = Field(
        default=0,
        description="UDP: answers after which a flow's next datagram gets a new choice of backend,"
        " 0 (never) to 65535",
    )
    timeouts: TimeoutsShape = Field(
        default=TimeoutsShape(), description="any of `timeouts`, for this service alone"
    )


class ApiShape(Shape):
    """`api`: a change needs a restart."""

    listen: ApiListen = Field(
        default=API_LISTEN,
        description="the socket that commands use, `unix:/PATH`; NETNS in the default is the inode"
        " number of the network namespace. With `tcp://127.0.0.1:PORT` the API is there as well,"
        " for whoever has a token",
    )
    token_file: TokenFile = Field(
        default=None,
        description="the absolute path of a file with lines `ROLE TOKEN`, for `tcp://`; read at the"
        " start and at each reload",
    )


class LogShape(Shape):
    """`log`: to standard error."""

    level: LogLevel = Field(default="info", description="`debug`, `info`, `warning` or `error`")
    format: LogFormat = Field(default="text", description="`text` or `json`")


class FileShape(Shape):
    """A whole configuration."""

    services: dict[Name, ServiceShape] = Field(
        min_length=1, description="services by name: 1 to 64 letters, digits, `.`, `_` and `-`"
    )
    seed: Seed = Field(
        default=None,
        description="spreads clients by hash; nodes with equal ones agree: a whole number of 64"
        " bits, or its hexadecimal digits in quotes; by default the one in the file `seed` of"
        " `state`, made at the first start",
    )
    datapath: DatapathShape = Field(default=DatapathShape(), description="where packets come in")
    timeouts: TimeoutsShape = Field(
        default=TimeoutsShape(), description="how long a flow without packets lives"
    )
    access: AccessShape = Field(
        default=AccessShape(), description="which clients may open flows, with any service"
    )
    api: ApiShape = Field(default=ApiShape(), description="where commands reach natlb")
    state: PathValue = Field(
        default=STATE,
        description="the directory for what outlives a boot; a change needs a restart",
    )
    log: LogShape = Field(default=LogShape(), description="what is logged")


PARTS: dict[tuple[str, ...], type[Shape]] = {
    (): FileShape,
    ("datapath",): DatapathShape,
    ("timeouts",): TimeoutsShape,
    ("access",): AccessShape,
    ("services", "*"): ServiceShape,
    ("services", "*", "policy"): PolicyShape,
    ("services", "*", "shadow"): PolicyShape,
    ("services", "*", "affinity"): AffinityShape,
    ("services", "*", "slow_start"): SlowStartShape,
    ("services", "*", "check"): CheckShape,
    ("services", "*", "backends", "*"): BackendShape,
    ("services", "*", "backends", "*", "check"): CheckShape,
    ("services", "*", "timeouts"): TimeoutsShape,
    ("services", "*", "access"): AccessShape,
    ("api",): ApiShape,
    ("log",): LogShape,
}
"""The model of each mapping by its path, `*` for any name or place in a list."""


def part_at(path: tuple[str | int, ...]) -> type[Shape] | None:
    """Return the model of the mapping at a path."""
    steps = tuple("*" if _is_free(path, at) else str(path[at]) for at in range(len(path)))
    return PARTS.get(steps)


def _is_free(path: tuple[str | int, ...], at: int) -> bool:
    """Return whether a step of a path is a name the user chose, or a place in a list."""
    return isinstance(path[at], int) or (at == 1 and path[0] == "services")
