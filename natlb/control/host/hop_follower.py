"""Next hops of both sides, followed live, as one memory after the other.

A generation is made where a worker would send otherwise than by the last, and only then: of a
hundred neighbours that are confirmed a second nothing is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.host.hop_memory import LENGTHS, HopMemory, Table, TooManyLengthsError
from natlb.control.host.hop_place import HopPlace
from natlb.netlink.namespace import namespaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.netlink.forwarding import HopNeighbour

Managed = tuple[str, int, int]  # namespace, the link's index, address
MOST_MANAGED = 256

NOWHERE = Table({}, {}, {})


class HopFollower:
    """Follows the namespaces of a plan's sides."""

    def __init__(self, public: str, private: str) -> None:
        """Name the namespaces; the empty name is natlb's own."""
        self._names = list(dict.fromkeys((public, private)))
        self._sides = (0, self._names.index(private))
        self._places: dict[str, HopPlace] = {}
        self._memory = HopMemory()
        self._last: tuple[object, ...] | None = None
        self.problem = ""

    def watched(self) -> list[int]:
        """Return the fds that are readable when something changed; of namespaces that there are."""
        known = namespaces()
        for name in self._names:
            place = self._places.get(name)
            if place is not None and place.is_gone():
                self._places.pop(name).close()
                place = None
            if place is None and (not name or name in known):
                self._places[name] = HopPlace(name)
        return [place.fileno() for place in self._places.values()]

    def hear(self) -> bool:
        """Hear the kernel; return whether next hops may be others now."""
        heard = [place.hear() for place in self._places.values()]  # each of them
        return any(heard)

    def doubt(self) -> None:
        """Have everything read again at the next `make`."""
        for place in self._places.values():
            place.doubt()

    def make(
        self, generation: int, *, is_open: bool, answered: Sequence[tuple[int, int]] = ()
    ) -> bytes | None:
        """Return the memory of this generation, or None where the last one says the same.

        `is_open` False: everything is the host's to route. `answered` is as in `HopMemory`.
        """
        tables = [self._table(name) if is_open else NOWHERE for name in self._names]
        now = (
            *((table.links, table.ways, self._used(table), table.vlans) for table in tables),
            tuple(answered),
        )
        if now == self._last:
            return None
        problems = [place.problem for place in self._places.values() if place.problem]
        self.problem = problems[0] if problems and is_open else ""
        try:
            content = self._memory.content(tables, self._sides, generation, answered)
        except TooManyLengthsError:
            self.problem = f"routes of more than {LENGTHS} prefix lengths"
            nothing = [NOWHERE for _ in tables]
            content = self._memory.content(nothing, self._sides, generation, answered)
        self._last = now
        return content

    def _table(self, name: str) -> Table:
        place = self._places.get(name)
        return NOWHERE if place is None else place.table()

    @staticmethod
    def _used(table: Table) -> dict[tuple[int, int], bytes]:
        """Return the neighbours on links that natlb sends by."""
        return {place: mac for place, mac in table.macs.items() if place[0] in table.links}

    def gateways(self) -> list[Managed]:
        """Return the gateways that natlb sends by, those of the shortest prefixes first."""
        found: dict[Managed, int] = {}
        for name, place in self._places.items():
            table = place.table()
            for (_, length), way in table.ways.items():
                if way.gateway and way.link in table.links:
                    key = (name, way.link, way.gateway)
                    found[key] = min(length % 96, found.get(key, length % 96))
        return sorted(found, key=lambda each: (found[each], each))[:MOST_MANAGED]

    def neighbour(self, managed: Managed) -> HopNeighbour | None:
        """Return what is known of a neighbour."""
        name, link, address = managed
        place = self._places.get(name)
        return None if place is None else place.neighbours.get((link, address))

    def close(self) -> None:
        """Listen no longer."""
        for place in self._places.values():
            place.close()
        self._places.clear()
