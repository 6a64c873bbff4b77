"""Which of the kernel's news concern natlb, and how much of the host they ask to look at. Pure.

NOTHING      a route to somewhere else: the most frequent news by far
STANDING     a route of natlb's own: does all that natlb made still stand
EVERYTHING   the rest, and what was lost: that, and does the configuration still mean the same
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from natlb.control.host.operation import PROTOCOL
from natlb.netlink.values import LOCAL_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.netlink.events import Change
    from natlb.netlink.values import Address

BITS = {4: 32, 6: 128}


class Need(IntEnum):
    """How much of the host is to be looked at."""

    NOTHING = 0
    STANDING = 1
    EVERYTHING = 2


class Concern:
    """The addresses that a plan is about: VIPs, backends, sources."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        """Be concerned with these."""
        self._addresses = [(each.version, int(each)) for each in addresses]
        self._prefixes: dict[tuple[int, int], frozenset[int]] = {}

    def need(self, changes: list[Change] | None) -> Need:
        """Return what is to be looked at for these; None: some were lost."""
        if changes is None:
            return Need.EVERYTHING
        return max((self._need(change) for change in changes), default=Need.NOTHING)

    def _need(self, change: Change) -> Need:
        if change.kind != "route":
            return Need.EVERYTHING
        if change.protocol == PROTOCOL:
            return Need.STANDING
        # What the host itself has is told as an address, and so is what leads to its subnets.
        if change.table == LOCAL_TABLE or not self._covers(change):
            return Need.NOTHING
        return Need.EVERYTHING

    def _covers(self, change: Change) -> bool:
        """Return whether a route leads to one of the addresses; a default route always may."""
        shift = BITS[change.version] - change.length
        if shift == BITS[change.version]:
            return True
        key = (change.version, shift)
        if key not in self._prefixes:
            found = (number for version, number in self._addresses if version == change.version)
            self._prefixes[key] = frozenset(number >> shift for number in found)
        return change.destination >> shift in self._prefixes[key]
