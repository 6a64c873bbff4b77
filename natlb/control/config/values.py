"""The configuration as natlb acts on it: every name resolved, every default filled in.

Whatever is here has been checked: `load.py` alone makes these values, and it refuses what would
break a promise below. Two configurations that mean the same are equal, whatever they were
written in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from natlb.model import ProtocolName  # noqa: TC001 - pydantic asks for the types of `Listen`

Address = IPv4Address | IPv6Address
DriverName = Literal["auto", "tun", "packet", "xdp"]
OutputName = Literal["auto", "direct", "route"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
NoBackend = Literal["reject", "drop"]
Unknown = Literal["reject", "drop", "adopt"]
OnDown = Literal["keep", "reset"]
CheckType = Literal["tcp", "http", "https", "grpc", "udp", "dns", "exec"]
HttpMethod = Literal["GET", "HEAD", "OPTIONS"]
DnsRecord = Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]
OnRemove = Literal["drain", "reset"]
Nat = Literal["dnat", "full"]
PolicyName = Literal[
    "round-robin",
    "weighted-round-robin",
    "random",
    "weighted-random",
    "least-connections",
    "weighted-least-connections",
    "shortest-expected-delay",
    "never-queue",
    "power-of-two",
    "source-hash",
    "destination-hash",
    "maglev",
    "rendezvous",
    "anchor",
    "bounded-load",
    "least-response-time",
    "first",
    "failover",
    "python",
]
HashKey = Literal["address", "address-port"]
HashBase = Literal["maglev", "rendezvous"]
Network = IPv4Network | IPv6Network

API_LISTEN = "unix:/run/natlb/NETNS/natlb.sock"
"""Where the API listens unless told; NETNS stands for the inode number of the namespace."""
MAX_FLOWS = 1 << 20
FRAGMENTS = 4096
ERROR_RATE = 1000
STATE = "/var/lib/natlb"


def endpoint(address: Address, port: int | None) -> str:
    """Return `ADDRESS:PORT`, or the address alone; IPv6 in brackets where a port follows."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Listen:
    """A protocol, VIP and port that clients call, or so many `ports` from this one on."""

    protocol: ProtocolName
    address: Address
    port: int
    ports: int = 1

    @property
    def last(self) -> int:
        """The last port."""
        return self.port + self.ports - 1

    def __str__(self) -> str:
        end = f"-{self.last}" if self.ports > 1 else ""
        return f"{self.protocol}://{endpoint(self.address, self.port)}{end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """How a new flow gets its backend: a policy, and every parameter that it has.

    `size` and `slots` are ints, `factor` is a float, the others are text.
    """

    name: str = "round-robin"
    parameters: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig:
    """How a backend is asked whether it is well; members that its type has not are as here.

    `rise` results in a row make it up, `fall` make it down; `jitter` is the share of `interval` by
    which a wait may be shorter. `address` and `port` None are the backend's (`check_port`),
    `source` None is what the host takes; `timeout` is never longer than `interval`.
    """

    type: CheckType = "tcp"
    interval: float = 2.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    jitter: float = 0.1
    address: Address | None = None
    port: int | None = None
    source: Address | None = None
    path: str = "/"  # http, https
    host: str | None = None  # http, https; None: address and port
    method: HttpMethod = "GET"  # http, https
    status: tuple[tuple[int, int], ...] = ((200, 399),)  # http, https; both ends are meant
    match: str | None = None  # http, https: a regular expression found in the body's octets
    verify: bool = True  # https
    ca: str | None = None  # https: a file of PEM; None: what the host trusts
    sni: str | None = None  # https: asked for, and named in the certificate; None: `host`, address
    service: str = ""  # grpc: the name that grpc.health.v1 is asked about; "" is the whole server
    send: bytes = b""  # udp
    expect: str | None = None  # udp: a regular expression found in the reply's octets; dns: a value
    name: str = "."  # dns
    record: DnsRecord = "A"  # dns
    command: tuple[str, ...] = ()  # exec: the program's absolute path, and its arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendConfig:
    """One real server's endpoint; `port` None keeps the port that the client called.

    `written` is the address as the configuration spells it, which is also the default name.
    `max_flows` None is no limit; a `backup` serves only when no other backend is up. `check` is
    what holds for this backend, its service's where it has none of its own; None: no check.
    """

    name: str
    address: Address
    port: int | None
    written: str
    weight: int = 1
    max_flows: int | None = None
    backup: bool = False
    check: CheckConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds without a packet after which a flow ends (RFC 5382 REQ-5, RFC 4787 REQ-5)."""

    tcp_established: float = 7440.0
    tcp_opening: float = 240.0
    tcp_transitory: float = 240.0
    udp: float = 300.0
    udp_unreplied: float = 120.0
    fragment: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which clients may open flows: none that is denied, and where `allow` is not empty those.

    A prefix is of its own IP version: `::/0` is no IPv4 client.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """New flows of clients whose addresses agree in so many bits go to one backend.

    Until `timeout` seconds after the last of them was opened.
    """

    prefix: int = 32
    prefix6: int = 128
    timeout: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStart:
    """A backend that comes into a running pool reaches its weight after so many seconds.

    Its share is the elapsed part of them to the power of `exponent`.
    """

    seconds: float
    exponent: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """What clients call, and the pool that answers.

    `timeouts` are the service's own, and the global ones where it has none. `mss_clamp` is True
    for what the ways out take, or a number; `max_flows` None is no limit. `shadow` is a policy
    whose choices are counted and not used. With a smaller share of the pool up than
    `panic_threshold`, health is ignored. `check` is what its backends' own are laid over; with
    `passive`, traffic shows who is down as well.
    """

    name: str
    listen: tuple[Listen, ...]
    backends: tuple[BackendConfig, ...]
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    shadow: PolicyConfig | None = None
    affinity: Affinity | None = None
    slow_start: SlowStart | None = None
    panic_threshold: float = 0.0
    nat: Nat = "dnat"
    no_backend: NoBackend = "reject"
    unknown: Unknown = "reject"
    check: CheckConfig | None = None
    passive: bool = True
    on_down: OnDown = "keep"
    on_remove: OnRemove = "drain"
    max_flows: int | None = None
    mss_clamp: bool | int = False
    datagrams: int = 0
    access: Access = field(default_factory=Access)
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class NetnsSide:
    """A side that is another network namespace, by the name `ip netns` knows it by."""

    netns: str


Side = tuple[str, ...] | NetnsSide
"""Where one side's packets come in: interfaces of natlb's own namespace, or another namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathConfig:
    """Where packets come in, and how much is kept; a side that is None is found from routes.

    `source` is in order, IPv4 first; no `max_flows_per_source` is no limit.
    """

    driver: DriverName = "auto"
    output: OutputName = "auto"
    workers: int = 1
    public: Side | None = None
    private: Side | None = None
    max_flows: int = MAX_FLOWS
    max_flows_per_source: int | None = None
    fragments: int = FRAGMENTS
    error_rate: int = ERROR_RATE
    source: tuple[Address, ...] = ()
    source_ports: tuple[int, int] = (1024, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """Where commands reach natlb: `unix:/PATH`, or None for `API_LISTEN`.

    `tcp://ADDRESS:PORT`: there as well, for who has a token of the file.
    """

    listen: str | None = None
    token_file: str | None = None

    @property
    def is_tcp(self) -> bool:
        """Whether there is a way in by TCP."""
        return self.listen is not None and self.listen.startswith("tcp:")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is logged, and in which form."""

    level: LogLevel = "info"
    format: LogFormat = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration; services stand in the order of the file.

    `seed` (64 bits) spreads clients by hash; None: the one that the state directory keeps.
    """

    services: dict[str, ServiceConfig]
    seed: int | None = None
    datapath: DatapathConfig = field(default_factory=DatapathConfig)
    timeouts: Timeouts = field(default_factory=Timeouts)
    access: Access = field(default_factory=Access)
    api: ApiConfig = field(default_factory=ApiConfig)
    state: str = STATE
    log: LogConfig = field(default_factory=LogConfig)
