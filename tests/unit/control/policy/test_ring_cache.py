from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from natlb.control.policy.ring_cache import RingCache

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ring(size: int = 10) -> NDArray[np.int32]:
    """Return a new ring, 4 octets a slot."""
    return np.zeros(size, np.int32)


def test_a_ring_is_made_once() -> None:
    """And cannot be written, since others have it too."""
    cache = RingCache()
    first = cache.ring("a", ring)

    assert cache.ring("a", ring) is first
    assert cache.ring("b", ring) is not first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


def test_the_ring_not_used_for_longest_goes() -> None:
    """So much is kept and no more."""
    cache = RingCache(most_octets=80)
    first, second = cache.ring("a", ring), cache.ring("b", ring)
    assert cache.ring("a", ring) is first
    cache.ring("c", ring)

    assert cache.octets == 80
    assert cache.ring("a", ring) is first
    assert cache.ring("b", ring) is not second


def test_a_ring_too_large_to_keep_is_handed_out() -> None:
    """It is made again each time."""
    cache = RingCache(most_octets=10)

    assert cache.ring("a", ring).size == 10
    assert cache.octets == 0
