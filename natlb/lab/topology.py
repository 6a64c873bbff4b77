"""Topologies as data: which hosts a lab has, how they are wired, what natlb is told.

The files stand in `netns/` at the top of a checkout, in `natlb/lab/topologies/` of an installed
natlb; `netns/README.md` describes their keys. What is loaded has been checked: every host, end of
a link and port of a bridge that is named exists, and every service listens on a VIP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natlb.errors import UnknownNameError
from natlb.lab.document import Node, read_document

if TYPE_CHECKING:
    from ipaddress import (
        IPv4Address,
        IPv4Interface,
        IPv4Network,
        IPv6Address,
        IPv6Interface,
        IPv6Network,
    )

    Address = IPv4Address | IPv6Address
    Interface = IPv4Interface | IPv6Interface
    Network = IPv4Network | IPv6Network

HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
INTERFACE_NAME = re.compile(r"[A-Za-z0-9._-]{1,15}")  # Linux: if.h, IFNAMSIZ
RANGE = re.compile(
    r"(?P<head>.*[.:])(?P<first>[0-9a-fA-F]+)-(?P<last>[0-9a-fA-F]+)(?P<length>/\d+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One network namespace: its interfaces' addresses, bridges over their ports, its routes."""

    name: str
    addresses: dict[str, tuple[Interface, ...]] = field(default_factory=dict)
    bridges: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routes: tuple[tuple[Network, Address], ...] = ()
    forward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a veth pair."""

    host: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a backend's host serves; None: not that."""

    http: int | None = None
    udp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """What traffic may be sent to: one address and port of a service."""

    service: str
    protocol: str
    address: Address
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A lab on paper; `source` finds it again: its name, or where its file lies."""

    name: str
    source: str
    about: str
    client: str
    balancer: str
    backends: dict[str, Server]
    vips: tuple[Address, ...]
    hosts: dict[str, Host]
    links: tuple[tuple[End, End], ...]
    listens: tuple[Listen, ...]
    natlb: dict[str, Any]

    def configuration(self, lab: str) -> dict[str, Any]:
        """Return what natlb is told in the lab of that name."""
        filled = _fill(self.natlb, lab)
        assert isinstance(filled, dict)
        return filled

    def sources(self, version: int) -> list[str]:
        """Return the client's addresses of one IP version: what traffic comes from."""
        held = self.hosts[self.client].addresses.values()
        return [str(each.ip) for group in held for each in group if each.version == version]


def folder() -> Path:
    """Return where the topologies lie: in a checkout, or in the installed package."""
    checkout = Path(__file__).parents[2] / "netns"
    return checkout if (checkout / "basic.yaml").is_file() else Path(__file__).parent / "topologies"


def topologies() -> list[str]:
    """Return the names of the topologies that come with natlb, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load_topology(name: str) -> Topology:
    """Return the topology of that name, or of that file if `name` looks like a path."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name).resolve()
        return read_topology(path, str(path))
    if name not in topologies():
        known = ", ".join(topologies())
        raise UnknownNameError(f"no topology {name!r}; there are {known}", fix="or name a file")
    return read_topology(folder() / f"{name}.yaml", name)


def read_topology(path: Path, source: str) -> Topology:
    """Return the topology in a file; ConfigError with the place of the first thing wrong."""
    root = read_document(path)
    required = ("client", "balancer", "backends", "vips", "hosts", "links", "natlb")
    keys = root.keys(required, ("about",))
    hosts = {name: _host(name, node) for name, node in keys["hosts"].entries().items()}
    links = tuple(_link(node, hosts) for node in keys["links"].items())
    _check_interfaces(keys["hosts"], hosts, links)
    vips = tuple(node.parse(ip_address) for node in keys["vips"].items())
    return Topology(
        name=path.stem,
        source=source,
        about=keys["about"].text() if "about" in keys else "",
        client=_host_name(keys["client"], hosts),
        balancer=_host_name(keys["balancer"], hosts),
        backends=_backends(keys["backends"], hosts),
        vips=vips,
        hosts=hosts,
        links=links,
        listens=tuple(_listens(keys["natlb"], vips)),
        natlb=keys["natlb"].plain(),
    )


def _host(name: str, node: Node) -> Host:
    if not HOST_NAME.fullmatch(name):
        node.fail(f"{name!r} is no host name: letters, digits, '-' and '_', 32 at most")
    keys = node.keys((), ("addresses", "bridges", "routes", "forward"))
    empty = Node(value={}, path=node.path, line=node.line, column=node.column, name=node.name)
    addresses = keys.get("addresses", empty).entries()
    bridges = keys.get("bridges", empty).entries()
    routes = keys.get("routes", empty).entries()
    return Host(
        name=name,
        addresses={at: _addresses(at, listed) for at, listed in addresses.items()},
        bridges={at: tuple(port.text() for port in ports.items()) for at, ports in bridges.items()},
        routes=tuple(_route(prefix, gateway) for prefix, gateway in routes.items()),
        forward=keys["forward"].flag() if "forward" in keys else False,
    )


def _addresses(interface: str, node: Node) -> tuple[Interface, ...]:
    if not INTERFACE_NAME.fullmatch(interface):
        node.fail(f"{interface!r} is no interface name: 15 letters, digits and '._-' at most")
    return tuple(address for item in node.items() for address in item.parse(expand))


def expand(text: str) -> list[Interface]:
    """Return the addresses that `198.51.100.2-33/24` means; hexadecimal in IPv6."""
    found = RANGE.fullmatch(text)
    if found is None:
        return [_interface(text)]
    base, form = (16, "x") if ":" in text else (10, "d")
    first, last = int(found["first"], base), int(found["last"], base)
    if not first <= last < first + 256:
        raise ValueError(f"{text!r} is no range of 1 to 256 addresses")
    numbers = (format(number, form) for number in range(first, last + 1))
    return [_interface(f"{found['head']}{number}{found['length']}") for number in numbers]


def _interface(text: str) -> Interface:
    if "/" not in text:
        raise ValueError(f"{text!r} lacks its prefix length, as in {text}/24")
    return ip_interface(text)


def _route(prefix: str, node: Node) -> tuple[Network, Address]:
    gateway = node.parse(ip_address)
    try:
        network = ip_network(prefix)
    except ValueError as error:
        node.fail(str(error))
    if network.version != gateway.version:
        node.fail(f"the gateway of {network} must be an IPv{network.version} address")
    return network, gateway


def _host_name(node: Node, hosts: dict[str, Host]) -> str:
    name = node.text()
    if name not in hosts:
        node.fail(f"no host {name!r}; there are {', '.join(hosts)}")
    return name


def _backends(node: Node, hosts: dict[str, Host]) -> dict[str, Server]:
    servers = {}
    for name, entry in node.entries().items():
        if name not in hosts:
            entry.fail(f"no host {name!r}; there are {', '.join(hosts)}")
        ports = {key: port.port() for key, port in entry.keys((), ("http", "udp")).items()}
        servers[name] = Server(**ports)
    return servers


def _link(node: Node, hosts: dict[str, Host]) -> tuple[End, End]:
    ends = [tuple(word.split(":")) for word in node.text().split()]
    if len(ends) != 2 or any(len(end) != 2 for end in ends):
        node.fail(f"a link is 'HOST:INTERFACE HOST:INTERFACE', not {node.value!r}")
    for host, interface in ends:
        if host not in hosts:
            node.fail(f"no host {host!r}; there are {', '.join(hosts)}")
        if not INTERFACE_NAME.fullmatch(interface):
            node.fail(f"{interface!r} is no interface name: 15 letters, digits and '._-' at most")
    left, right = (End(host=host, interface=interface) for host, interface in ends)
    return left, right


def _check_interfaces(
    node: Node, hosts: dict[str, Host], links: tuple[tuple[End, End], ...]
) -> None:
    """Fail where an interface is made twice, or is given an address and never made."""
    made: dict[str, list[str]] = {name: [*host.bridges] for name, host in hosts.items()}
    for end in (end for link in links for end in link):
        if end.interface in made[end.host]:
            node.fail(f"{end.host}:{end.interface} is made twice")
        made[end.host].append(end.interface)
    for name, entry in node.entries().items():
        host = hosts[name]
        ports = [port for group in host.bridges.values() for port in group]
        for interface in (*host.addresses, *ports):
            if interface not in made[name]:
                entry.fail(f"no link and no bridge makes {name}:{interface}")


def _listens(node: Node, vips: tuple[Address, ...]) -> list[Listen]:
    """Return where the services listen; the rest of natlb's configuration natlb checks itself."""
    services = node.keys(("services",), tuple(node.entries()))["services"].entries()
    return [
        listen for name, service in services.items() for listen in _listen_of(name, service, vips)
    ]


def _listen_of(name: str, service: Node, vips: tuple[Address, ...]) -> list[Listen]:
    entries = service.entries()
    if "listen" not in entries:
        service.fail(f"service {name!r} lacks 'listen'")
    node = entries["listen"]
    found = []
    for item in node.items() if isinstance(node.value, list) else [node]:
        listen = _listen(name, item)
        if listen.address not in vips:
            item.fail(f"service {name!r} listens on {listen.address}, which is none of 'vips'")
        found.append(listen)
    return found


def _listen(service: str, node: Node) -> Listen:
    found = re.fullmatch(r"(tcp|udp)://(\[[^]]+\]|[^:\[\]]+):(\d{1,5})", node.text())
    if found is None:
        node.fail(f"{node.value!r} is not tcp://ADDRESS:PORT or udp://ADDRESS:PORT")
    protocol, address, port = found.groups()
    return Listen(
        service=service,
        protocol=protocol,
        address=node.parse(lambda _: ip_address(address.strip("[]"))),
        port=int(port),
    )


def _fill(value: Any, lab: str) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, lab) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, lab) for item in value]
    return value.replace("{lab}", lab) if isinstance(value, str) else value
