"""How many flows each client address has, for the limit on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE_COUNT = np.dtype([*((f"source{lane}", np.uint32) for lane in range(4)), ("flows", np.int64)])


class Sources(NamedTuple):
    """Client addresses and how many flows each has, open-addressed, at most half full."""

    counts: NDArray[np.void]  # SOURCE_COUNT[2^n]


def make_sources(flows: int) -> Sources:
    """Return the memory for a table of so many flows; for none where there is no limit."""
    return Sources(np.zeros(2 << flows.bit_length() if flows else 1, SOURCE_COUNT))
