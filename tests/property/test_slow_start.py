"""What a backend in slow start gets, by every policy: what the documents promise, and no flood.

The clock stands at one moment of the window, so that there is one share to compare with. Seeds are
fixed; a bound of six standard deviations is a false alarm in 10^8 where each flow is drawn, and
rarer where turns or loads take chance away.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from natlb.core.policy import POLICY_NAMES, Pool, pick
from tests.datapath import engine
from tests.picks import parameters_of
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE, SECONDS, BEGAN = 5, 30, 7000
FLOWS, DEVIATIONS = 3000, 6
PARTS = (0.1, 0.5, 0.9)  # of the window
LONG = 200  # flows at once, where a pool is busy
IN_ORDER = ("first", "failover")
BY_LOAD = (
    "least-connections",
    "weighted-least-connections",
    "shortest-expected-delay",
    "never-queue",
    "least-response-time",
)
BY_HASH = (
    "source-hash",
    "destination-hash",
    "maglev",
    "rendezvous",
    "anchor",
    "bounded-load",
)
OTHERS = tuple(name for name in POLICY_NAMES if name not in (*IN_ORDER, *BY_LOAD, *BY_HASH))


def promised(policy: str, part: float, *, is_busy: bool) -> float:
    """Return which part of the new flows the documents promise to the new one of SIZE."""
    by_weight = part / (SIZE - 1 + part)
    if policy in IN_ORDER:
        return part  # it is the first
    if policy in BY_HASH or (policy in BY_LOAD and not is_busy):
        return part / SIZE
    return by_weight


def pool_for(policy: str, size: int = SIZE) -> Pool:
    """Return a pool of equals, of which the first came at BEGAN."""
    engine()  # types are prepared
    pool = pool_of([3] * size, policy, parameters=parameters_of(policy))
    pool.notes["handshake_us"][FIRST : FIRST + size] = 800
    start_slowly(pool, FIRST, began_ms=BEGAN, seconds=SECONDS)
    return pool


def picks(pool: Pool, part: float, seed: int = 3) -> Iterator[int]:
    """Yield whom flows are given to for ever, at one part of the window."""
    chance, now = random.Random(seed), BEGAN + int(part * SECONDS * 1000)
    while True:
        yield pick(pool, 0, flow_of(chance.getrandbits(32), chance.getrandbits(31), now))


def is_near(got: int, flows: int, share: float) -> bool:
    """Return whether as many of some flows as this are explained by chance."""
    return bool(abs(got - flows * share) <= DEVIATIONS * (flows * share * (1 - share)) ** 0.5)


def test_each_policy_is_of_one_kind() -> None:
    """A new one has to be told apart here."""
    assert set(POLICY_NAMES) == {*IN_ORDER, *BY_LOAD, *BY_HASH, *OTHERS}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("policy", POLICY_NAMES)
def test_an_idle_pool_gives_a_new_backend_its_share(policy: str, part: float) -> None:
    """One flow at a time, each over before the next: nobody has any load to be told apart by."""
    found = picks(pool_for(policy), part)
    got = sum(next(found) == FIRST for _ in range(FLOWS))

    assert is_near(got, FLOWS, promised(policy, part, is_busy=False)), got / FLOWS


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("policy", POLICY_NAMES)
def test_a_busy_pool_lets_a_new_backend_rise_to_its_share(policy: str, part: float) -> None:
    """LONG flows at once, the oldest ends when a new one comes; counted from the third round on."""
    pool = pool_for(policy)
    found = picks(pool, part)
    held = [FIRST + 1 + at % (SIZE - 1) for at in range(LONG)]
    for backend in held:
        give_load(pool, backend, 1)
    given = []
    for backend in found:
        give_load(pool, held.pop(0), -1)
        give_load(pool, backend, 1)
        held.append(backend)
        given.append(backend == FIRST)
        if len(given) == 2 * LONG + FLOWS:
            break
    share = promised(policy, part, is_busy=True)

    assert is_near(sum(given[2 * LONG :]), FLOWS, share), sum(given[2 * LONG :]) / FLOWS


@pytest.mark.parametrize("size", [10, 100])
@pytest.mark.parametrize("part", PARTS[:2])
@pytest.mark.parametrize("policy", BY_LOAD)
def test_a_new_backend_in_a_busy_pool_is_not_flooded(policy: str, part: float, size: int) -> None:
    """Flows stay: of those that come it gets its share at most, one in two or in ten.

    Until it has that share of what each other one has, and it gets no more after that.
    """
    pool = pool_for(policy, size)
    pool.loads[FIRST + 1 : FIRST + size] = 1000
    found, given = picks(pool, part), 0
    for _ in range(200):
        backend = next(found)
        give_load(pool, backend, 1)
        given += backend == FIRST
    assert is_near(given, 200, part)

    give_load(pool, FIRST, int(part * 1000) - given)
    got = sum(next(found) == FIRST for _ in range(200))
    assert is_near(got, 200, part)
    give_load(pool, FIRST, 2 + int(part * 10))
    assert FIRST not in {next(found) for _ in range(200)}
