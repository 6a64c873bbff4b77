"""What must hold between the values of a configuration, each of which is right by itself.

A VIP, port and protocol lead to one service; a name to one backend; a backend is no VIP, and an
address of full NAT is neither. Each check yields all that breaks it.
"""

from __future__ import annotations

from bisect import bisect
from typing import TYPE_CHECKING

from natlb.control.config.check_types import check_checks
from natlb.control.config.policies import check_policies, goes_by_hash
from natlb.control.config.problems import quoted
from natlb.control.config.scalars import MAX_SOURCES, parse_ports
from natlb.control.config.tree import Fault, Node, Path, fault_at, follow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from natlb.control.config.shape import BackendShape, FileShape, ServiceShape
    from natlb.control.config.values import Address, Listen

MAX_SERVICES = 4096
"""So many have counters and policy state: `natlb.core.layout.MOST_SERVICES`."""
MAX_BACKENDS = 65_535
"""A backend's index has 16 bits in a flow's row, and one value of them means "none"."""

MAX_ENDPOINTS = 1 << 20
"""A range of ports is an entry for each of them, and so is each backend without a port."""

Finding = tuple[Path, str]


def check(shape: FileShape, root: Node) -> list[Fault]:
    """Return a fault for all that contradicts itself; `root` is the tree that has this shape."""
    findings = [*_limits(shape), *_listens(shape), *_sides(shape), *_tokens(shape)]
    findings += _ports_of_workers(shape)
    vips = {listen.address: name for name, each in _reversed(shape) for listen in each.listen}
    findings += _sources(shape, vips)
    sources = None if _lost_sources(root) else _versions_of_sources(shape)
    faults: list[Fault] = []
    for name, service in shape.services.items():
        path = ("services", name)
        faults += check_policies(root, path, service)
        faults += check_checks(root, path, service)
        findings += [] if sources is None else _missing_sources(path, service, sources)
        findings += _datagrams(path, service)
        findings += _adoption(path, service)
        findings += _names(path, service)
        findings += _endpoints(path, service)
        findings += _backends_that_are_vips(path, service, vips)
    return faults + [fault_at(root, where, message) for where, message in findings]


def _tokens(shape: FileShape) -> Iterator[Finding]:
    """Complain of a way in that everybody on this host has, and of tokens for none."""
    is_tcp, has_tokens = shape.api.listen.startswith("tcp:"), shape.api.token_file is not None
    if is_tcp and not has_tokens:
        yield ("api", "listen"), "by TCP 'token_file' is needed: any process here can connect"
    if has_tokens and not is_tcp:
        yield (
            ("api", "token_file"),
            "tokens are for a 'listen' of tcp://; a socket has rights",
        )


def _reversed(shape: FileShape) -> Iterator[tuple[str, ServiceShape]]:
    """Yield services last first, so that of equal keys in a dict the first service stays."""
    return reversed(shape.services.items())


def _limits(shape: FileShape) -> Iterator[Finding]:
    """Complain of more services or backends than the tables have indexes."""
    if len(shape.services) > MAX_SERVICES:
        yield ("services",), f"{len(shape.services)} services are more than {MAX_SERVICES}"
    backends = sum(len(service.backends) for service in shape.services.values())
    if backends > MAX_BACKENDS:
        yield ("services",), f"{backends} backends in all are more than {MAX_BACKENDS}"
    endpoints = {name: _endpoints_of(service) for name, service in shape.services.items()}
    if (total := sum(endpoints.values())) > MAX_ENDPOINTS:
        message = (
            f"{total} ports in all, listened on and of backends, are more than {MAX_ENDPOINTS}"
        )
        yield ("services", max(endpoints, key=lambda name: endpoints[name])), message


def _endpoints_of(service: ServiceShape) -> int:
    """Return how many ports of VIPs and of backends a service has."""
    called = sum(listen.ports for listen in service.listen)
    return called + sum(1 if each.address.port else called for each in service.backends)


def _listens(shape: FileShape) -> Iterator[Finding]:
    """Complain of a VIP, port and protocol that are listed twice, also within a range."""
    taken: dict[tuple[str, Address], list[tuple[int, int, Listen, str]]] = {}
    for name, service in shape.services.items():
        for index, listen in enumerate(service.listen):
            ranges = taken.setdefault((listen.protocol, listen.address), [])
            at = bisect(ranges, listen.last, key=lambda each: each[0])
            if at > 0 and ranges[at - 1][1] >= listen.port:
                _, _, other, owner = ranges[at - 1]
                message = _taken(listen, other, owner, name)
                yield ("services", name, "listen", index), message
            else:  # so that they never overlap, and only the one before can
                ranges.insert(at, (listen.port, listen.last, listen, name))


def _taken(listen: Listen, other: Listen, owner: str, name: str) -> str:
    """Return what to say of a listen that another, of service `owner`, overlaps."""
    whose = "this service" if owner == name else f"service {quoted(owner)}"
    if listen == other:
        return f"{listen} is already taken by {whose}"
    return f"{listen} overlaps {other} of {whose}"


def _sides(shape: FileShape) -> Iterator[Finding]:
    """Complain of an interface on both sides: a packet could not be told by where it came in."""
    public, private = shape.datapath.public, shape.datapath.private
    if isinstance(public, tuple) and isinstance(private, tuple):
        for name in private:
            if name in public:
                yield ("datapath", "private"), f"{quoted(name)} is a public interface as well"


def _ports_of_workers(shape: FileShape) -> Iterator[Finding]:
    """Complain where a worker would have no port for full NAT: each has every n-th."""
    first, last = parse_ports(shape.datapath.source_ports)
    if last - first + 1 < shape.datapath.workers:
        count, workers = last - first + 1, shape.datapath.workers
        message = f"{count} ports are fewer than 'workers', {workers}, of which each needs its own"
        yield ("datapath", "source_ports"), message


def _sources(shape: FileShape, vips: Mapping[Address, str]) -> Iterator[Finding]:
    """Complain of addresses of full NAT that are something else as well, or are too many."""
    backends = {
        backend.address.address: f"{name}/{name_of(backend)}"
        for name, service in _reversed(shape)
        for backend in reversed(service.backends)
    }
    seen: set[Address] = set()
    for index, addresses in enumerate(shape.datapath.source):
        where = ("datapath", "source", index)
        for address in addresses:
            if address in vips:
                yield where, f"{address} is a VIP of service {quoted(vips[address])}"
            elif address in backends:
                yield where, f"{address} is the address of backend {quoted(backends[address])}"
            elif address in seen:
                yield where, f"{address} is already here"
        seen.update(addresses)
    if len(seen) > MAX_SOURCES:
        yield ("datapath", "source"), f"{len(seen)} addresses in all are more than {MAX_SOURCES}"


def _lost_sources(root: Node) -> bool:
    """Return whether an address of full NAT was wrong, so that none can be said to be missing."""
    nodes = follow(root, ("datapath", "source"))
    return bool(nodes[0].missed & {"datapath"} or nodes[-1].missed & {"source"}) or (
        len(nodes) == 3 and bool(nodes[-1].missed)
    )


def _versions_of_sources(shape: FileShape) -> set[int]:
    """Return the IP versions that full NAT has addresses of."""
    return {address.version for each in shape.datapath.source for address in each}


def _missing_sources(path: Path, service: ServiceShape, sources: set[int]) -> Iterator[Finding]:
    """Complain of backends that have to be called from an address that natlb has not.

    With full NAT, and where a client's packets have to become those of the other IP version.
    """
    called = {listen.address.version for listen in service.listen}
    pool = {each.address.address.version: index for index, each in _from_last(service)}
    if service.nat == "full":
        for version in sorted((pool.keys() or called) - sources):
            message = f"full NAT needs an IPv{version} address in datapath.source"
            yield (*path, "nat"), message
        return
    for version in sorted(pool.keys() - sources):
        if called - {version}:
            backend = service.backends[pool[version]].address.address
            message = (
                f"IPv{10 - version} clients need an IPv{version} address in datapath.source to"
                f" reach {backend}"
            )
            yield (*path, "backends", pool[version], "address"), message


def _from_last(service: ServiceShape) -> Iterator[tuple[int, BackendShape]]:
    """Yield a service's backends with their places, the last one first."""
    return reversed(list(enumerate(service.backends)))


def _datagrams(path: Path, service: ServiceShape) -> Iterator[Finding]:
    """Complain of a choice for each datagram where there are none."""
    if service.datagrams and service.listen and all(v.protocol == "tcp" for v in service.listen):
        yield (*path, "datagrams"), "is for UDP, and this service listens on TCP alone"


def _adoption(path: Path, service: ServiceShape) -> Iterator[Finding]:
    """Complain of flows that are to be adopted where nothing says whose they were."""
    if service.unknown != "adopt":
        return
    if not goes_by_hash(service.policy):
        message = f"adopt needs a policy by hash, which {service.policy.name} is not"
        yield (*path, "unknown"), message
    if service.nat == "full":
        yield (*path, "unknown"), "adopt needs nat: dnat; with full NAT nobody knows the ports"


def name_of(backend: BackendShape) -> str:
    """Return what a backend is called: its address as written unless it has a name."""
    return backend.address.written if backend.name is None else backend.name


def _names(path: Path, service: ServiceShape) -> Iterator[Finding]:
    """Complain of two backends with one name."""
    seen: set[str] = set()
    for index, backend in enumerate(service.backends):
        name = name_of(backend)
        if name in seen:
            yield (*path, "backends", index, "name"), f"a backend {quoted(name)} is already here"
        seen.add(name)


def _endpoints(path: Path, service: ServiceShape) -> Iterator[Finding]:
    """Complain of two backends that are one server: its replies could be of either."""
    seen: dict[Address, dict[int | None, str]] = {}
    for index, backend in enumerate(service.backends):
        where, name = backend.address, name_of(backend)
        taken = seen.setdefault(where.address, {})
        owner = _owner(service, taken, where.port) or name
        if owner != name:  # of one name they have been complained of already
            message = f"{where.written} is the address of backend {quoted(owner)} as well"
            yield (*path, "backends", index, "address"), message
        taken[where.port] = name


def _owner(service: ServiceShape, taken: Mapping[int | None, str], port: int | None) -> str | None:
    """Return which of an address's backends has a port; None stands for all that are called."""
    if port in taken:
        return taken[port]
    others = taken if port is None else {port} if None in taken else ()
    clash = next((each for each in others if each is not None and _calls(service, each)), None)
    return None if clash is None else taken.get(clash, taken.get(None))


def _calls(service: ServiceShape, port: int) -> bool:
    """Return whether clients call a service at a port."""
    return any(listen.port <= port <= listen.last for listen in service.listen)


def _backends_that_are_vips(
    path: Path, service: ServiceShape, vips: Mapping[Address, str]
) -> Iterator[Finding]:
    """Complain of a backend whose packets would come straight back to natlb."""
    for index, backend in enumerate(service.backends):
        owner = vips.get(backend.address.address)
        if owner is not None:
            message = f"{backend.address.address} is a VIP of service {quoted(owner)}"
            yield (*path, "backends", index, "address"), message
