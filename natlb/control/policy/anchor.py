"""AnchorHash's buckets (Mendelson et al., IEEE/ACM Transactions on Networking 29, 2021).

A member works in as many buckets as its weight has units. One that leaves has its buckets removed,
one that comes gets those removed last: the paper's ADDBUCKET undoes REMOVEBUCKET, last in, first
out, so its arrays follow from the stack of removals alone. That stack is remembered from pool to
pool, as is who had each bucket: a member that comes back gets its old ones where they are among
those that come back.

A unit of weight is the greatest that divides all weights, or where that makes more buckets than
there are a greater one, to which weights are rounded. It is kept while it serves, since another
one gives everybody other buckets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from natlb.control.policy.order import Compiled
from natlb.control.policy.parameters import ADDRESS_PORT, hashed_key, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from natlb.control.policy.member import Member
    from natlb.control.policy.order import Memory, Order

SIZE = 1024


def compile_anchor(order: Order) -> Compiled:
    """Return owners, and A and K of the paper, for each bucket; and what to remember."""
    key = hashed_key(order, ADDRESS_PORT)
    if not order.members:
        return Compiled(key=key, memory=order.memory)
    size = max(whole_number(order, "size", SIZE), len(order.members))
    buckets = remembered(order.memory, size) or Buckets.unowned(size)
    weights = {member.key: member.weight for member in order.members}
    buckets.unit = unit_of(list(weights.values()), size, buckets.unit)
    buckets.give({name: units(weight, buckets.unit) for name, weight in weights.items()})
    ring = np.concatenate([buckets.indexes(order.members), *arrays(size, buckets.removed)])
    return Compiled(
        ring=ring.astype(np.int32), key=key, parameters=(size,), memory=buckets.memory()
    )


def units(weight: int, unit: int) -> int:
    """Return how many buckets a weight is worth: rounded, and one at least."""
    return max(1, (2 * weight + unit) // (2 * unit))


def unit_of(weights: list[int], size: int, kept: int = 0) -> int:
    """Return the unit that weights are counted in, so that there are buckets for all of them."""

    def fits(unit: int) -> bool:
        return sum(units(weight, unit) for weight in weights) <= size

    divisor = math.gcd(*weights)
    is_exact = fits(divisor)
    if kept and fits(kept) and (divisor % kept == 0 or not is_exact):
        return kept
    if is_exact:
        return divisor
    low, high = divisor, 2 * max(weights)  # does not fit; fits, since each has one bucket then
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


@dataclass(slots=True)
class Buckets:
    """Who works in each bucket, or did last; those removed, the last one at the end."""

    owners: list[str]
    removed: list[int] = field(default_factory=list)
    unit: int = 0

    @classmethod
    def unowned(cls, size: int) -> Buckets:
        """Return buckets that nobody has had, the first of which will be given first."""
        return cls([""] * size, list(range(size - 1, -1, -1)))

    def memory(self) -> Memory:
        """Return all of it as JSON can hold it."""
        removed = [str(bucket) for bucket in self.removed]
        return {"owners": self.owners, "removed": removed, "unit": [str(self.unit)]}

    def working(self) -> dict[str, list[int]]:
        """Return the buckets that each member works in."""
        removed = set(self.removed)
        found: dict[str, list[int]] = {}
        for bucket, owner in enumerate(self.owners):
            if bucket not in removed:
                found.setdefault(owner, []).append(bucket)
        return found

    def give(self, wanted: Mapping[str, int]) -> None:
        """Remove the buckets that members have too many, then add those that they lack."""
        working = self.working()
        for name in sorted(working):
            self.removed += working[name][wanted.get(name, 0) :][::-1]
        lacked = {name: wanted[name] - len(working.get(name, ())) for name in sorted(wanted)}
        lacked = {name: count for name, count in lacked.items() if count > 0}
        rest = []
        for bucket in [self.removed.pop() for _ in range(sum(lacked.values()))]:
            if lacked.get(self.owners[bucket], 0) > 0:
                lacked[self.owners[bucket]] -= 1
            else:
                rest.append(bucket)
        names = [name for name, count in lacked.items() for _ in range(count)]
        for bucket, name in zip(rest, names, strict=True):
            self.owners[bucket] = name

    def indexes(self, members: list[Member]) -> NDArray[np.int64]:
        """Return the index of each bucket's owner, 0 where that one is not there."""
        by_key = {member.key: member.index for member in members}
        return np.array([by_key.get(owner, 0) for owner in self.owners])


def remembered(memory: Memory, size: int) -> Buckets | None:
    """Return the buckets of an earlier pool; None where there was none, or of another size."""
    owners = list(memory.get("owners", ()))
    try:
        removed = [int(bucket) for bucket in memory.get("removed", ())]
        unit = int(*memory.get("unit", ()))
    except (TypeError, ValueError):
        return None
    is_stack = len(set(removed)) == len(removed) and all(0 <= each < size for each in removed)
    if len(owners) != size or not is_stack or unit < 0:
        return None
    return Buckets(owners, removed, unit)


def arrays(size: int, removed: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return A and K once these buckets were removed in this order (REMOVEBUCKET of the paper)."""
    left = [0] * size
    successor, working, place = list(range(size)), list(range(size)), list(range(size))
    for count, bucket in zip(range(size - 1, -1, -1), removed, strict=False):
        left[bucket] = count
        working[place[bucket]] = successor[bucket] = working[count]
        place[working[count]] = place[bucket]
    return np.array(left), np.array(successor)
