"""Source hash: each slot of the ring goes to the member that scores highest on it.

Weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights: Resch, 2015): a member's score
on a slot is -weight / ln(u), u being a hash of slot and member in (0, 1). A member that leaves
gives up its own slots and disturbs no other, and its share of slots is that of its weight, give
or take: with three equal members on 4,096 slots, 2 %.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.control.policy.member import Member
    from natlb.control.policy.order import Order

LEAST_SLOTS = 4096
SLOTS_PER_MEMBER = 16


def compile_source_hash(order: Order) -> Compiled:
    """Return a ring of at least 4,096 slots; equal members and seeds give equal rings anywhere."""
    members = order.members
    if not members:
        return Compiled()
    slots = 1 << max(LEAST_SLOTS, SLOTS_PER_MEMBER * len(members)).bit_length() - 1
    ring = np.zeros(slots, np.int32)
    best = np.full(slots, -np.inf)
    for member in sorted(members, key=lambda member: member.key):
        score = _scores(member, order.seed, slots)
        ring[score > best] = member.index
        best = np.maximum(best, score)
    return Compiled(ring=ring)


def _scores(member: Member, seed: int, slots: int) -> NDArray[np.float64]:
    """Return the member's score on every slot."""
    digest = hashlib.blake2b(f"{seed}/{member.key}".encode(), digest_size=8).digest()
    mixed = _mix(np.arange(slots, dtype=np.uint64) ^ np.uint64(int.from_bytes(digest, "little")))
    uniform = ((mixed >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52  # never 0 nor 1
    scores: NDArray[np.float64] = -member.weight / np.log(uniform)
    return scores


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return well mixed words: splitmix64's finalizer (Steele et al., OOPSLA 2014)."""
    words = words * np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = words ^ words >> np.uint64(31)
    return mixed
