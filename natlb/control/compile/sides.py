"""The two sides that packets leave by, as the tables are told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from natlb.control.compile.addresses import Address, lanes_of
from natlb.core.layout import DUMMY_ADDRESS4, PRIVATE, PUBLIC

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

LARGEST_MTU = 65535
"""What a way out takes unless said: every IP packet there can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """A side's way out: its MTU, and who natlb's own ICMP errors come from there.

    `hosts` are the host's own addresses there, which its own processes call a VIP from. A VIP may
    be one of them: then the host keeps what no service listens on.
    """

    mtu: int = LARGEST_MTU
    address4: IPv4Address | None = None
    address6: IPv6Address | None = None
    hosts: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both ways out."""

    public: WayOut = field(default_factory=WayOut)
    private: WayOut = field(default_factory=WayOut)

    @property
    def hosts(self) -> frozenset[Address]:
        """The host's own addresses."""
        return frozenset(self.public.hosts + self.private.hosts)

    @property
    def least_mtu(self) -> int:
        """The largest packet that passes both."""
        return min(self.public.mtu, self.private.mtu)

    def fill(self, ways: Any) -> None:
        """Write both into a generation's tables."""
        _fill_way(ways[PUBLIC], PUBLIC, self.public)
        _fill_way(ways[PRIVATE], PRIVATE, self.private)

    def are_in(self, ways: Any) -> bool:
        """Return whether a generation's tables have these ways out; `hosts` stand elsewhere."""
        same = ways.copy()
        self.fill(same)
        return bool((same == ways).all())


def _fill_way(record: Any, side: int, way: WayOut) -> None:
    record["side"], record["mtu"] = side, way.mtu
    record["address4"] = int(way.address4) if way.address4 else DUMMY_ADDRESS4
    if way.address6:
        for lane, word in enumerate(lanes_of(way.address6)):
            record[f"address6_{lane}"] = word
