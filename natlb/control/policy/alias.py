"""Alias tables: backends drawn by weight at the same cost in any pool.

Vose, "A linear algorithm for generating random numbers with a given distribution" (IEEE TSE, 1991),
in whole numbers, so that the table is exact but for thresholds of 31 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from natlb.control.policy.order import Compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from natlb.control.policy.member import Member
    from natlb.control.policy.order import Order

WHOLE = 1 << 31  # of a slot; a threshold is less, since who fills its slot is its own alias


def compile_alias_table(order: Order) -> Compiled:
    """Return the table as the ring: for policies that draw by weight."""
    return Compiled(ring=alias_table(order.members))


def alias_table(members: Sequence[Member]) -> NDArray[np.int32]:
    """Return a threshold and an alias for each member, one behind the other.

    A slot is drawn evenly. It is its own member's with a chance of threshold / WHOLE, and
    otherwise that of its alias, a backend's index.
    """
    total = sum(member.weight for member in members)
    shares = [member.weight * len(members) for member in members]  # of a slot, in `total`ths
    thresholds, aliases = [WHOLE - 1] * len(members), list(range(len(members)))
    small = [at for at, share in enumerate(shares) if share < total]
    large = [at for at, share in enumerate(shares) if share > total]
    while small:
        at, giver = small.pop(), large[-1]
        thresholds[at], aliases[at] = shares[at] * WHOLE // total, giver
        shares[giver] -= total - shares[at]
        if shares[giver] <= total:
            large.pop()
            if shares[giver] < total:
                small.append(giver)
    table = np.empty((len(members), 2), np.int32)
    table[:, 0] = thresholds
    table[:, 1] = [members[alias].index for alias in aliases]
    return table.ravel()
