"""Which backend a new flow gets: by affinity, else by the service's policy.

Asked once for each new flow, so what is not configured costs a comparison. A service's shadow is
asked what it would have chosen where its policy chose, with the same draw and before anything is
counted; what it says is counted and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from natlb.core.affinity import recall
from natlb.core.batch import NOW
from natlb.core.hashing import NO_PORT, spread_hash
from natlb.core.layout import (
    CHOICES,
    KEY_DESTINATION,
    KEY_SOURCE_PORT,
    WORD_COMPARED,
    WORD_DIFFERED,
)
from natlb.core.policy import NO_BACKEND_INDEX, NewFlow, Pool
from natlb.core.policy.pool import has_room, own_word
from natlb.core.tables import SEED0, SEED1
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.reasons import BACKEND_LIMIT, NO_BACKEND
from natlb.wire.rewrite import destination_lanes, source_lanes

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.parsed import Parsed

Pick: TypeAlias = Callable[[Pool, int, NewFlow], int]


@kernel
def choose(core: Core, i: int, service: int, draw: int, pick: Pick) -> int:
    """Return the index of a new flow's backend, or the reason why there is none, negated."""
    record, parsed = core.tables.services[service], core.batch.parsed[i]
    if record["affinity_ms"]:
        known = recall(core, service, source_lanes(parsed), core.batch.numbers[NOW])
        if known != NO_BACKEND_INDEX and has_room(pool_of(core), known):
            return known
    choice = CHOICES * service
    backend = pick(pool_of(core), choice, new_flow(core, choice, parsed, draw))
    if backend == NO_BACKEND_INDEX:
        return -BACKEND_LIMIT if record["pool_size"] > 0 else -NO_BACKEND
    if record["shadow"]:
        _compare(core, i, choice + 1, draw, backend, pick)
    return backend


@rare_kernel
def _compare(core: Core, i: int, shadow: int, draw: int, chosen: int, pick: Pick) -> None:
    """Count what a shadow would have chosen, and whether it is another one than was chosen."""
    counters = core.counters
    backend = pick(pool_of(core), shadow, new_flow(core, shadow, core.batch.parsed[i], draw))
    counters.policy[own_word(shadow, WORD_COMPARED)] += 1
    counters.notes[chosen]["compared"] += 1
    if backend != chosen:
        counters.policy[own_word(shadow, WORD_DIFFERED)] += 1
    if backend != NO_BACKEND_INDEX:
        counters.notes[backend]["shadow"] += 1


@kernel
def pool_of(core: Core) -> Pool:
    """Return what a policy sees of a core: no copy, counts are as they are now."""
    tables, counters = core.tables, core.counters
    return Pool(
        tables.services,
        tables.choices,
        tables.rings,
        tables.backends,
        counters.backends,
        counters.loads,
        counters.services,
        counters.notes,
        counters.policy,
        counters.programs,
        core.elsewhere,
        core.batch.program_floats,
        core.batch.program_wholes,
    )


@kernel
def new_flow(core: Core, choice: int, parsed: Parsed, draw: int) -> NewFlow:
    """Return a packet's flow as a choice's policy sees it."""
    key = i64(core.tables.choices[choice]["key"])
    numbers = core.tables.numbers
    client = source_lanes(parsed)
    is_of_client = key < KEY_DESTINATION
    lanes = client if is_of_client else destination_lanes(parsed)
    port = i64(parsed["source_port"] if is_of_client else parsed["destination_port"])
    hashed = spread_hash(
        numbers[SEED0], numbers[SEED1], lanes, port if key & KEY_SOURCE_PORT else NO_PORT
    )
    return NewFlow(
        hashed,
        draw,
        core.batch.numbers[NOW],
        client[0],
        client[1],
        client[2],
        client[3],
        i64(parsed["source_port"]),
    )
