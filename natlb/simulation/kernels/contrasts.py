"""Failures known from elsewhere, each a pick that natlb never uses: to be looked at beside its own.

They keep none of the laws of a policy (`core/policy/pool.py`) but the first: no limit, no weight
where the original has none, no slow start. They cannot be configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import WEIGHT_ONE
from natlb.core.policy.pool import NO_BACKEND_INDEX, load_of, pool_span
from natlb.jit import entry, i64

if TYPE_CHECKING:
    from natlb.core.policy import NewFlow, Pool


@entry
def pick_modulo(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend at the hash modulo the size of the pool: most move when one leaves."""
    first, size = pool_span(pool, choice)
    return NO_BACKEND_INDEX if size == 0 else i64(pool.rings[first + flow.spread_hash % size])


@entry
def pick_first_on_ties(pool: Pool, choice: int, flow: NewFlow) -> int:  # noqa: ARG001
    """Return the backend with the fewest flows, of several the first: an idle pool is one server.

    It is what a loop over the pool does that compares by "less than".
    """
    first, size = pool_span(pool, choice)
    best, least = NO_BACKEND_INDEX, 0
    for at in range(first, first + size):
        backend = i64(pool.rings[at])
        load = load_of(pool, backend)
        if best == NO_BACKEND_INDEX or load < least:
            best, least = backend, load
    return best


@entry
def pick_ipvs_sed(pool: Pool, choice: int, flow: NewFlow) -> int:  # noqa: ARG001
    """Return the backend of the shortest delay by what IPVS counts: established flows alone.

    A flow whose handshake is under way is inactive there (ip_vs_sed.c: `activeconns + 1` over the
    weight, of equal ones the first), so all of a burst of SYNs sees the same counts.
    """
    first, size = pool_span(pool, choice)
    best, delay, weight = NO_BACKEND_INDEX, 0, WEIGHT_ONE
    for at in range(first, first + size):
        backend = i64(pool.rings[at])
        count = pool.counts[backend]
        active = i64(count["current"] - count["closing"] - count["opening"]) + 1
        its_weight = i64(pool.backends[backend]["weight"])
        if best == NO_BACKEND_INDEX or active * weight < delay * its_weight:
            best, delay, weight = backend, active, its_weight
    return best
