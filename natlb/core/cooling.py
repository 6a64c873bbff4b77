"""Ports of full NAT that were in use a moment ago (RFC 6888 REQ-8): not given again for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Cooling(NamedTuple):
    """When each of (address, port, backend) was given back, by hash, in seconds; 0: never."""

    ended: NDArray[np.uint32]


def make_cooling(flows: int) -> Cooling:
    """Return the memory for a table of so many flows; for none where there is no full NAT."""
    return Cooling(np.zeros(1 << max(4, flows.bit_length()) if flows else 1, np.uint32))
