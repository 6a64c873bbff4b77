"""Maglev's table (Eisenbud et al., NSDI 2016, section 3.4): members claim entries in turns.

Each member likes the entries in an order of its own: `offset`, `offset + skip` and so on, modulo
the size, which is a prime so that it comes by all of them. In its turn it claims the first that is
free. Offset and skip are hashes of seed and key, and turns go by keys, so tables are equal on all
nodes and after each restart.

Weights: the heaviest claims an entry in each turn, others in `weight / heaviest` of the turns, and
what is left of a turn counts for the next. (Katran's first version began each turn anew, and lost
the weights.) Everybody has its first claim in the first turn, so in the end each has its share of
entries rounded up or down, and one at least where there are not more members than entries.
"""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from natlb.control.policy.order import Compiled
from natlb.control.policy.parameters import ADDRESS_PORT, hashed_key, whole_number
from natlb.control.policy.slots import ring_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from natlb.control.policy.member import Member
    from natlb.control.policy.order import Order

SIZE = 65537


def compile_maglev(order: Order) -> Compiled:
    """Return the table; equal members and seeds give equal tables anywhere."""
    key = hashed_key(order, ADDRESS_PORT)
    if not order.members:
        return Compiled(key=key)
    return Compiled(ring=ring_by(maglev_table, order, whole_number(order, "size", SIZE)), key=key)


def maglev_table(members: list[Member], seed: int, size: int) -> NDArray[np.int32]:
    """Return who owns each entry, by its place among the members."""
    permutations = [permutation(member.key, seed, size) for member in members]
    return claim(permutations, turns([member.weight for member in members], size).tolist(), size)


def permutation(key: str, seed: int, size: int) -> tuple[int, int]:
    """Return the offset and the skip of a member's permutation of the entries."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=16, person=b"maglev").digest()
    first, second = (int.from_bytes(half, "little") for half in (digest[:8], digest[8:]))
    return first % size, second % (size - 1) + 1


def turns(weights: list[int], size: int) -> NDArray[np.int64]:
    """Return whose claim each of the entries is, in the order of claims: places of members.

    A member's k-th claim, from 0, comes in turn floor(k * heaviest / weight).
    """
    heaviest, most = max(weights), -(-size * max(weights) // sum(weights))
    claims = [-(-most * weight // heaviest) for weight in weights]
    turn = np.concatenate(
        [
            np.arange(count) * heaviest // weight
            for count, weight in zip(claims, weights, strict=True)
        ]
    )
    order: NDArray[np.int64] = np.repeat(np.arange(len(weights)), claims)[
        np.argsort(turn, kind="stable")
    ]
    return order[:size]


def claim(
    permutations: list[tuple[int, int]], claimants: Iterable[int], size: int
) -> NDArray[np.int32]:
    """Return the table after one claim for each entry, whose number is a prime.

    About size * ln(size) steps: 0.05 s for 65,537 entries, 17 s for 8,388,593.
    """
    at = [offset for offset, _ in permutations]
    skips = [skip for _, skip in permutations]
    owners, is_claimed = [0] * size, bytearray(size)
    for member in islice(claimants, size):  # no more than there are entries
        entry, skip = at[member], skips[member]
        while is_claimed[entry]:
            entry += skip
            if entry >= size:
                entry -= size
        is_claimed[entry] = 1
        owners[entry] = member
        at[member] = entry
    return np.array(owners, np.int32)
