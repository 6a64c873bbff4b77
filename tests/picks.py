"""Pools and flows at random, and whom each policy picks for them, policy by policy.

Each pick is held to the law of all policies: somebody who has room, if anybody has.

Run as a program it prints a line for each pool: two processes, one compiled and one interpreted,
must print the same.
"""

from __future__ import annotations

import hashlib
import random
import sys
from typing import TYPE_CHECKING

from natlb.control.config.policies import PARAMETERS
from natlb.core.hashing import WORD
from natlb.core.layout import CHOICES, POLICY_WORDS
from natlb.core.policy import NO_BACKEND_INDEX, POLICY_NAMES, NewFlow, Pool, pick
from tests.unit.core.policy.pools import FIRST, give_load, pool_of, start_slowly

if TYPE_CHECKING:
    from collections.abc import Iterator

POOLS = 12  # for each policy
FLOWS = 60  # for each pool
SMALL_TABLES = {"maglev": {"size": 1021}, "rendezvous": {"slots": 1024}}
HORIZON_MS = 20_000  # slow starts begin and end within


def play(seed: int, policies: tuple[str, ...] = POLICY_NAMES) -> Iterator[str]:
    """Yield policy, picks and a digest of what was kept, for each pool of each policy."""
    for policy in policies:
        chance = random.Random(f"{seed}/{policy}")
        for _ in range(POOLS):
            pool = _pool(policy, chance)
            picks = ",".join(str(_play_flow(pool, chance)) for _ in range(FLOWS))
            yield f"{policy} {picks} {_digest(pool)}"


def parameters_of(policy: str) -> dict[str, object]:
    """Return a policy's parameters: the defaults, but for tables that are small."""
    own = PARAMETERS.get(policy, {})
    base = str(own.get("base", policy))
    return {**own, **PARAMETERS.get(base, {}), **SMALL_TABLES.get(base, {})}


def _pool(policy: str, chance: random.Random) -> Pool:
    """Return a pool with flows, limits, slow starts and times of answers."""
    size = chance.choice((1, 2, 3, 5, 12, 40))
    heaviest = chance.choice((1, 3, 20))
    pool = pool_of(
        [chance.randint(1, heaviest) for _ in range(size)],
        policy,
        loads=[chance.choice((0, 0, 1, 2, 7)) for _ in range(size)],
        most=[chance.choice((0, 0, 3, 9)) for _ in range(size)],
        seed=chance.randrange(1 << 31),
        parameters=parameters_of(policy),
    )
    for index in range(FIRST, FIRST + size):
        counts, note = pool.counts[index], pool.notes[index]
        counts["opening"] = chance.randint(0, int(pool.loads[index]))
        note["handshake_us"] = chance.choice((0, 50, 800, 90_000))
        note["handshake_ms"] = chance.randrange(HORIZON_MS)
        if chance.random() < 0.3:
            began, exponent = chance.randrange(HORIZON_MS), chance.choice((1.0, 0.5, 2.5))
            start_slowly(pool, index, began_ms=began, seconds=5, exponent=exponent)
    pool.backends.flags.writeable = False  # as the core has it, so `pick` is not compiled anew
    return pool


def _play_flow(pool: Pool, chance: random.Random) -> int:
    """Return whom a flow at random is given to, and count it; now and then flows end."""
    client = chance.randrange(WORD + 1)
    spread, draw, port = chance.randrange(WORD + 1), chance.randrange(1 << 31), 1 << 15
    now = chance.randrange(HORIZON_MS)
    free = _free(pool)
    backend = int(pick(pool, 0, NewFlow(spread, draw, now, 0, 0, 0xFFFF, client, port)))
    assert backend in free if free else backend == NO_BACKEND_INDEX, (backend, free)
    if backend != NO_BACKEND_INDEX:
        give_load(pool, backend, 1)
    if chance.random() < 0.2:
        size = int(pool.services[0]["pool_size"])
        index = chance.randrange(FIRST, FIRST + size)
        give_load(pool, index, -int(pool.loads[index]))
        pool.counts[index]["opening"] = 0
    return backend


def _free(pool: Pool) -> set[int]:
    """Return who has room."""
    start, size = int(pool.services[0]["pool_start"]), int(pool.services[0]["pool_size"])
    members = pool.rings[start : start + size]
    most, load = pool.backends["max_flows"][members], pool.loads[members]
    return set(members[(most == 0) | (load < most)].tolist())


def _digest(pool: Pool) -> str:
    """Return a digest of all that a policy may have kept."""
    size = int(pool.services[0]["pool_size"])
    kept = pool.notes[: FIRST + size].tobytes() + pool.own[: CHOICES * POLICY_WORDS].tobytes()
    return hashlib.blake2b(kept, digest_size=8).hexdigest()


if __name__ == "__main__":
    for line in play(int(sys.argv[1])):
        print(line)  # noqa: T201 - it is what the other process reads
