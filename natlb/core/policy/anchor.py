"""AnchorHash (Mendelson et al., IEEE/ACM Transactions on Networking, 2021): nobody moves in vain.

A flow is hashed to one of `size` buckets. One that has no backend leads to a bucket of those that
were there when it lost its own, by a hash of flow and bucket; so a bucket that goes or comes moves
the flows of no other. The ring holds three numbers for each bucket, one list after the other:

    owner       the backend of a working bucket
    left        A of the paper: 0 where it works, else how many buckets worked once it was removed
    successor   K of the paper: which bucket took its place among those

`parameter0` is the number of buckets. With w of them working a look-up takes 1 + ln(size / w)
steps on average, each of which leads to a bucket removed before.
"""

from __future__ import annotations

from natlb.core.hashing import WORD, second_hash
from natlb.core.policy.by_hash import TRIES, pick_by_score
from natlb.core.policy.pool import NO_BACKEND_INDEX, NewFlow, Pool, is_admitted_by_hash
from natlb.jit import i64, kernel, rare_kernel

GOLDEN = 0x9E3779B9  # 2^32 by the golden ratio: spreads bucket numbers over all bits


@rare_kernel
def pick_anchor(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the owner of this flow's bucket, or of the bucket of one of the hashes behind its."""
    if pool.choices[choice]["ring_size"] == 0:
        return NO_BACKEND_INDEX
    hashed = flow.spread_hash
    for _ in range(TRIES):
        backend = i64(
            pool.rings[pool.choices[choice]["ring_start"] + bucket_of(pool, choice, hashed)]
        )
        if is_admitted_by_hash(pool, backend, flow):
            return backend
        hashed = second_hash((hashed + GOLDEN) & WORD)
    return pick_by_score(pool, choice, flow)


@kernel
def bucket_of(pool: Pool, choice: int, hashed: int) -> int:
    """Return the working bucket of a hash: GETBUCKET of the paper."""
    record = pool.choices[choice]
    buckets = i64(record["parameter0"])
    left = i64(record["ring_start"]) + buckets
    bucket = hashed % buckets
    worked = i64(pool.rings[left + bucket])
    while worked > 0:
        bucket = bucket_hash(hashed, bucket) % worked
        while i64(pool.rings[left + bucket]) >= worked:
            bucket = i64(pool.rings[left + buckets + bucket])
        worked = i64(pool.rings[left + bucket])
    return bucket


@kernel
def bucket_hash(hashed: int, bucket: int) -> int:
    """Return the hash that a removed bucket sends a flow on by, independent of other buckets'."""
    return second_hash((hashed + (bucket + 1) * GOLDEN) & WORD)
