"""What must hold between the values of a configuration, each of which is right by itself.

A VIP, port and protocol lead to one service; a name to one backend; a backend is no VIP, and is
of its service's IP version. Each check yields all that breaks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.config.later import NOT_YET
from natlb.control.config.problems import quoted
from natlb.control.config.tree import Fault, Node, Path, fault_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv6Address

    from natlb.control.config.shape import BackendShape, FileShape, ServiceShape
    from natlb.control.config.values import Address, Listen

MAX_SERVICES = 4096
"""So many have counters and policy state: `natlb.core.layout.MOST_SERVICES`."""
MAX_BACKENDS = 65_535
"""A backend's index has 16 bits in a flow's row, and one value of them means "none"."""

Finding = tuple[Path, str]


def check(shape: FileShape, root: Node) -> list[Fault]:
    """Return a fault for all that contradicts itself; `root` is the tree that has this shape."""
    findings = [*_limits(shape), *_listens(shape), *_sides(shape)]
    vips = {listen.address: name for name, each in _reversed(shape) for listen in each.listen}
    for name, service in shape.services.items():
        path = ("services", name)
        findings += _versions(path, service)
        findings += _names(path, service)
        findings += _endpoints(path, service)
        findings += _backends_that_are_vips(path, service, vips)
    return [fault_at(root, where, message) for where, message in findings]


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


def _listens(shape: FileShape) -> Iterator[Finding]:
    """Complain of a VIP, port and protocol that are listed twice."""
    owners: dict[Listen, str] = {}
    for name, service in shape.services.items():
        for index, listen in enumerate(service.listen):
            owner = owners.get(listen)
            if owner is None:
                owners[listen] = name
            else:
                whose = "by this service" if owner == name else f"by service {quoted(owner)}"
                yield ("services", name, "listen", index), f"{listen} is already taken {whose}"


def _sides(shape: FileShape) -> Iterator[Finding]:
    """Complain of an interface on both sides: a packet could not be told by where it came in."""
    public, private = shape.datapath.public, shape.datapath.private
    if isinstance(public, tuple) and isinstance(private, tuple):
        for name in private:
            if name in public:
                yield ("datapath", "private"), f"{quoted(name)} is a public interface as well"


def _versions(path: Path, service: ServiceShape) -> Iterator[Finding]:
    """Complain of IPv4 and IPv6 in one service: translating between them is a later matter."""
    if not service.listen:
        return
    version = service.listen[0].address.version
    mixed = f"IPv4 and IPv6 mixed in one service is {NOT_YET}"
    for index, listen in enumerate(service.listen):
        if listen.address.version != version:
            yield (*path, "listen", index), f"{listen.address}: {mixed}"
    for index, backend in enumerate(service.backends):
        if backend.address.address.version != version:
            yield (*path, "backends", index, "address"), f"{backend.address.address}: {mixed}"


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
    called = {listen.port for listen in service.listen}
    seen: dict[Address, dict[int, str]] = {}
    for index, backend in enumerate(service.backends):
        where, name = backend.address, name_of(backend)
        taken = seen.setdefault(where.address, {})
        ports = called if where.port is None else {where.port}
        owner = next((taken[port] for port in ports if port in taken), name)
        if owner != name:  # of one name they have been complained of already
            message = f"{where.written} is the address of backend {quoted(owner)} as well"
            yield (*path, "backends", index, "address"), message
        taken.update(dict.fromkeys(ports, name))


def _backends_that_are_vips(
    path: Path, service: ServiceShape, vips: dict[IPv4Address | IPv6Address, str]
) -> Iterator[Finding]:
    """Complain of a backend whose packets would come straight back to natlb."""
    for index, backend in enumerate(service.backends):
        owner = vips.get(backend.address.address)
        if owner is not None:
            message = f"{backend.address.address} is a VIP of service {quoted(owner)}"
            yield (*path, "backends", index, "address"), message
