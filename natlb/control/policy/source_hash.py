"""Source hash: each slot of the ring goes to the member that scores highest on it (`slots.py`).

At least 4,096 slots, more for a pool of more than 511, and 65,536 at most: time is members times
slots, and that is 15 s for 65,535 members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled
from natlb.control.policy.parameters import ADDRESS, hashed_key
from natlb.control.policy.slots import highest_scores, ring_by

if TYPE_CHECKING:
    from natlb.control.policy.order import Order

LEAST_SLOTS = 4096
SLOTS_PER_MEMBER = 16
MOST_SLOTS = 65536


def compile_source_hash(order: Order) -> Compiled:
    """Return a ring of 4,096 slots or more; equal members and seeds give equal rings anywhere."""
    key = hashed_key(order, ADDRESS)
    if not order.members:
        return Compiled(key=key)
    least = min(MOST_SLOTS, max(LEAST_SLOTS, SLOTS_PER_MEMBER * len(order.members)))
    return Compiled(ring=ring_by(highest_scores, order, 1 << least.bit_length() - 1), key=key)
