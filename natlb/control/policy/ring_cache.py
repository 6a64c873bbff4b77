"""Rings that were made lately: a reload that changes something else has none to make anew."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

MOST_OCTETS = 64 << 20


class RingCache:
    """Rings by what they are made of, those used last, up to so many octets together.

    A ring is handed out without a copy, so it cannot be written.
    """

    def __init__(self, most_octets: int = MOST_OCTETS) -> None:
        """Begin with none."""
        self._most = most_octets
        self._rings: OrderedDict[Hashable, NDArray[np.int32]] = OrderedDict()
        self._lock = Lock()

    @property
    def octets(self) -> int:
        """How much is kept."""
        return sum(ring.nbytes for ring in self._rings.values())

    def ring(self, made_of: Hashable, make: Callable[[], NDArray[np.int32]]) -> NDArray[np.int32]:
        """Return the ring that is made of this: the kept one, or a new one, which is kept then."""
        with self._lock:
            ring = self._rings.pop(made_of, None)
            if ring is None:
                ring = make()
                ring.flags.writeable = False
            self._rings[made_of] = ring
            while self.octets > self._most:
                self._rings.popitem(last=False)
        return ring
