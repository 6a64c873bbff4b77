"""Fragments: every piece of a datagram goes where its first piece went."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.core.verdict import drop
from natlb.jit import rare_kernel
from natlb.wire.reasons import UNSUPPORTED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.opening import Pick
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


class Fragments(NamedTuple):
    """Datagrams of which pieces were seen."""

    records: NDArray[np.int64]


def make_fragments(datagrams: int) -> Fragments:
    """Return the memory to follow so many datagrams at once."""
    return Fragments(np.zeros(datagrams, np.int64))


@rare_kernel
def follow_fragment(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Return the outcome of a piece of a datagram."""
    return drop(UNSUPPORTED)


@rare_kernel
def step_fragments(core: Core, now: int, hops: int) -> None:
    """Let the time of held pieces run: release what may go on, drop what waited too long."""
