"""One namespace's links, routes, rules and neighbours, read and followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.host.hop_memory import Table
from natlb.control.host.operation import PROTOCOL
from natlb.control.host.plan import TUNS, VERSIONS
from natlb.control.host.ways import BY_HOST, EVERY_IP4, doubts, is_ip6, ways
from natlb.errors import NatlbError
from natlb.netlink.forwarding import (
    RouteReader,
    TooManyError,
    read_links,
    read_neighbours,
    read_rules,
)
from natlb.netlink.hop_events import HopEvents
from natlb.netlink.namespace import identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.control.host.ways import Network, Way
    from natlb.netlink.forwarding import HopLink, HopNeighbour, HopRoute, HopRule

MOST_ROUTES = 65_536  # read in half a second; beyond that a router's table is the kernel's to ask
Place = tuple[int, int]  # of a neighbour: the link's index, the address


class HopPlace:
    """What a namespace forwards by, as it is followed."""

    def __init__(self, netns: str) -> None:
        """Begin to listen in the namespace of this name; the empty one is natlb's own."""
        self.netns = netns
        self.identity = identity(netns or None)
        self.problem = ""  # why the host routes everything, if it does
        self.neighbours: dict[Place, HopNeighbour] = {}
        self._name = netns or None
        self._events = HopEvents(self._name)
        self._readers = {version: RouteReader() for version in VERSIONS}
        self._links: dict[int, HopLink] = {}
        self._vlans: tuple[int, ...] = ()
        self._ways: dict[Network, Way] = {}
        self._macs: dict[Place, bytes] = {}
        self._made_of: object = None
        self._is_stale = self._is_torn = True

    def fileno(self) -> int:
        """Return the descriptor that is readable when something changed."""
        return self._events.fileno()

    def close(self) -> None:
        """Listen no longer."""
        self._events.close()

    def is_gone(self) -> bool:
        """Return whether the name is another namespace's by now, or nobody's."""
        try:
            return identity(self._name) != self.identity
        except (OSError, NatlbError):  # nobody's
            return True

    def doubt(self) -> None:
        """Have everything read again."""
        self._is_stale = self._is_torn = True

    def hear(self) -> bool:
        """Hear the kernel; return whether next hops may be others now."""
        heard = self._events.read()
        self._is_torn |= heard.is_torn
        self._is_stale |= heard.others
        changed = [self._meet(each) for each in heard.neighbours]
        return self._is_stale or self._is_torn or any(changed)

    def _meet(self, neighbour: HopNeighbour) -> bool:
        """Take a neighbour for what it is now; return whether packets go elsewhere for that."""
        place, before = neighbour.place, self._macs.get(neighbour.place, b"")
        self.neighbours[place] = neighbour
        if neighbour.mac:
            self._macs[place] = neighbour.mac
        else:
            self._macs.pop(place, None)
            if not neighbour.is_managed:
                self.neighbours.pop(place, None)
        return before != neighbour.mac

    def table(self) -> Table:
        """Return the next hops as they are now, read anew where they may have changed."""
        if self._is_torn:
            self._is_torn = False
            self.neighbours, self._macs = {}, {}
            for each in read_neighbours(self._name):
                self._meet(each)
        if self._is_stale:
            self._is_stale = False
            self._read()
        return Table(self._links, self._ways, dict(self._macs), self._vlans)

    def _read(self) -> None:
        links = read_links(self._name)
        self._links = {index: link for index, link in links.items() if link.can_send}
        self._vlans = tuple(sorted(link.vlan for link in links.values() if link.vlan))
        read: list[tuple[list[HopRule], list[HopRoute]]] = []
        left = MOST_ROUTES
        for version in VERSIONS:
            try:
                routes, is_torn = self._readers[version].read(self._name, version, left)
            except TooManyError:
                self.problem = f"more than {MOST_ROUTES} routes"
                self._ways, self._made_of = {}, None
                return
            left -= len(routes)
            self._is_stale |= is_torn
            read.append((read_rules(self._name, version), routes))
        if read != self._made_of:
            self._made_of = read
            self._ways, self.problem = certain(read)


def certain(
    read: Iterable[tuple[list[HopRule], list[HopRoute]]],
) -> tuple[dict[Network, Way], str]:
    """Return the ways of both IP versions, IPv4's first, and why some are none where so."""
    found: dict[Network, Way] = {}
    problem = ""
    for version, (rules, routes) in zip(VERSIONS, read, strict=True):
        doubted = doubts(rules, PROTOCOL, TUNS)
        if doubted is None:
            problem = f"a policy rule of IPv{version} may lead any packet elsewhere"
        elif version == 4:
            found |= ways(routes, doubted)
        else:
            found |= {place: way for place, way in ways(routes, doubted).items() if is_ip6(place)}
    # A look-up tries the shorter lengths as well: IPv6's default route is none of IPv4.
    found.setdefault(EVERY_IP4, BY_HOST)
    return found, problem
