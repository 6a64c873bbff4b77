"""What is measured of backends, by name: how long their answers take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.core.handshake import BOUNDS_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.control.compile.indices import Indices
    from natlb.control.config import Config
    from natlb.core.counters import Counters

HANDSHAKE_BOUNDS = tuple(bound / 1_000_000 for bound in BOUNDS_US)
"""Upper bounds of all buckets but the last, in seconds; the last has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshakes:
    """How long a backend's first answers took: SYN to SYN-ACK, or datagram to datagram.

    `counts` is by bucket, each by itself (not cumulative), one more than there are bounds.
    """

    counts: tuple[int, ...]
    sum_seconds: float

    @property
    def count(self) -> int:
        """How many answers there were."""
        return sum(self.counts)


def handshakes_of(
    config: Config, indices: Indices, counters: Sequence[Counters]
) -> dict[tuple[str, str], Handshakes]:
    """Return what the backends' answers took, by (service, backend), in the configuration's order.

    Counts begin at zero when a backend gets its number, and only grow.
    """
    found = {}
    for service in config.services.values():
        for backend in service.backends:
            name = service.name, backend.name
            number = indices.backends[name]
            counts = sum(each.handshakes[number] for each in counters)
            micros = sum(int(each.notes[number]["handshake_sum_us"]) for each in counters)
            found[name] = Handshakes(
                counts=tuple(int(count) for count in counts), sum_seconds=micros / 1_000_000
            )
    return found
