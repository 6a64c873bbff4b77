"""Rendezvous: each slot goes to the member that scores highest on it (`slots.py`).

The number of slots is the configuration's and does not change with the pool, else every change of
it would move flows that need not move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.order import Compiled
from natlb.control.policy.parameters import ADDRESS_PORT, hashed_key, whole_number
from natlb.control.policy.slots import highest_scores, ring_by

if TYPE_CHECKING:
    from natlb.control.policy.order import Order

SLOTS = 65536


def compile_rendezvous(order: Order) -> Compiled:
    """Return a ring of `slots`; equal members and seeds give equal rings anywhere."""
    key = hashed_key(order, ADDRESS_PORT)
    if not order.members:
        return Compiled(key=key)
    slots = whole_number(order, "slots", SLOTS)
    return Compiled(ring=ring_by(highest_scores, order, slots), key=key)
