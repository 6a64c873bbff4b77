"""What policies that hash have to answer, over arrays: a million flows in a second.

Written from the papers and the layout of the tables, apart from the kernels: `sampled()` says
whether `pick()` answers the same.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.core import hashing
from natlb.core.policy import POLICY_NAMES, pick
from natlb.core.policy.anchor import GOLDEN
from natlb.wire.fields import MAPPED_LANE
from tests.unit.core.policy.pools import flow_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.policy import Pool

Hashes = Any  # NDArray[np.int64], each below 2^32


@cache
def spread_hashes(count: int, seed: int) -> Hashes:
    """Return the spread hashes of clients 10.0.0.0 and on, each by a port of its own.

    As the kernel makes them: it is made of operations that arrays have too.
    """
    numbers = np.arange(count, dtype=np.int64)
    state: Any = hashing._begin(seed & hashing.WORD, seed >> 32)
    lanes: tuple[Any, ...] = (0, 0, MAPPED_LANE, 0x0A000000 + numbers, 1024 + numbers % 60000)
    for lane in lanes:
        state = hashing._absorb(state, lane)
    return hashing._finish(state, 18)


def ring_of(pool: Pool) -> NDArray[np.int32]:
    """Return what the compiling half made."""
    record = pool.choices[0]
    return pool.rings[record["ring_start"] :][: record["ring_size"]]


def owners(pool: Pool, hashes: Hashes) -> NDArray[np.int32]:
    """Return the index of each flow's backend, with the loads that there are."""
    name = POLICY_NAMES[pool.choices[0]["policy"]]
    if name == "anchor":
        owner, left, successor = ring_of(pool).reshape(3, -1)
        return owner[anchor_buckets(left, successor, hashes)]
    ring = ring_of(pool)
    if name != "bounded-load":
        return ring[hashes % ring.size]
    below = is_below_cap(pool)
    assert below.any()
    slots = hashes % ring.size
    while (at_cap := ~below[ring[slots]]).any():
        slots = np.where(at_cap, (slots + 1) % ring.size, slots)
    return ring[slots]


def is_below_cap(pool: Pool) -> NDArray[np.bool_]:
    """Return whether each backend of a pool has fewer flows than its share times the factor."""
    first, size = pool.services[0]["pool_start"], pool.services[0]["pool_size"]
    members = pool.rings[first:][:size].tolist()
    below = np.zeros(pool.backends.size, bool)
    weights = sum(int(pool.backends[each]["weight"]) for each in members)
    factor, flows = int(pool.choices[0]["parameter0"]), int(pool.total[0]["current"]) + 1
    for each in members:
        share = factor * flows * int(pool.backends[each]["weight"])
        below[each] = int(pool.loads[each]) < -(-share // (1000 * weights))
    return below


def anchor_buckets(left: Any, successor: Any, hashes: Hashes) -> Any:
    """Return the working bucket of each hash: GETBUCKET of the paper, all at once."""
    buckets = hashes % left.size
    while (lost := np.nonzero(left[buckets])[0]).size:
        worked = left[buckets[lost]]
        mixed = (hashes[lost] + (buckets[lost] + 1) * GOLDEN) & hashing.WORD
        found = hashing.second_hash(mixed) % worked
        while (later := left[found] >= worked).any():
            found = np.where(later, successor[found], found)
        buckets[lost] = found
    return buckets


def sampled(pool: Pool, hashes: Hashes, chosen: NDArray[np.int32], count: int = 500) -> bool:
    """Return whether the policy itself picks what `owners()` says, for so many of the flows."""
    places = range(0, hashes.size, max(1, hashes.size // count))
    return all(pick(pool, 0, flow_of(int(hashes[at]))) == chosen[at] for at in places)
