"""The IPv4 identifications that natlb gives itself: to what leaves under an address of its own.

Many clients share that address, so their own identifications would meet (RFC 6864 section 5.3,
RFC 7857 section 11). A counter would never repeat within 65,536 packets, but tell everybody how
much natlb sends (RFC 7739); so the counter is sent through a keyed permutation, which keeps the
distance between two equal numbers and nothing of their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.hashing import WORD, second_hash
from natlb.core.layout import IDENTIFICATION, KEY0, KEY1
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core

ROUNDS = 4  # of a Feistel network over two octets (Luby and Rackoff, 1988)


@rare_kernel
def next_identification(core: Core) -> int:
    """Return an identification that the last 65,535 calls did not, and move on."""
    meta = core.flows.meta
    meta[IDENTIFICATION] = (meta[IDENTIFICATION] + 1) & 0xFFFF
    key = i64(meta[KEY0] ^ meta[KEY1]) & WORD
    left, right = i64(meta[IDENTIFICATION] >> 8), i64(meta[IDENTIFICATION] & 0xFF)
    for number in range(ROUNDS):
        left, right = right, left ^ _mix(key, number, right)
    return left << 8 | right


@kernel
def _mix(key: int, number: int, octet: int) -> int:
    """Return a keyed octet for a round's octet."""
    return second_hash((key ^ number << 8 ^ octet) & WORD) & 0xFF
