from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from natlb.core.policy.draws import STEPS, draw_number, draw_other
from natlb.core.policy.pool import NO_BACKEND_INDEX
from tests.chi_square import assert_fits
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of, start_slowly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.core.policy import Pool

needs_plain_kernels()
NAMES = ("random", "weighted-random")  # without a table and with one
FLOWS = 4000
# A fixed seed; each test of a distribution fails with a chance of 1e-6 where all is right.


def draws(flows: int = FLOWS, seed: int = 1) -> list[int]:
    """Return what the core hands to policies: xorshift32, 31 bits of it."""
    x, drawn = seed, []
    for _ in range(flows):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        drawn.append(x >> 1)
    return drawn


def counts(
    pool: Pool, *, other: int = NO_BACKEND_INDEX, now: int = 0, flows: int = FLOWS
) -> Sequence[int]:
    """Return how often each backend of a pool is drawn."""
    got = Counter(draw_other(pool, 0, flow_of(draw=draw, now=now), other) for draw in draws(flows))
    size = int(pool.services[0]["pool_size"])
    assert sum(got[FIRST + at] for at in range(size)) == flows
    return [got[FIRST + at] for at in range(size)]


def test_numbers_of_all_steps_are_even_and_of_31_bits() -> None:
    """And each step's are independent of the next one's: 8 x 8 fields, a few steps apart."""
    flows = [flow_of(draw=draw) for draw in draws(2000)]
    for step, apart in itertools.product((0, 1, 25, 2 * STEPS - 4), (1, 2, 3)):
        pairs = [(draw_number(flow, step), draw_number(flow, step + apart)) for flow in flows]
        assert max(map(max, pairs)) < 1 << 31
        fields = Counter((a >> 28, b >> 28) for a, b in pairs)
        every = [(a, b) for a in range(8) for b in range(8)]
        assert_fits([fields[each] for each in every], [1] * len(every), 1e-7)  # of twelve


@pytest.mark.parametrize(("name", "shares"), [(NAMES[0], (1, 1, 1, 1)), (NAMES[1], (1, 2, 4, 13))])
def test_shares_are_those_of_the_weights(name: str, shares: Sequence[int]) -> None:
    """Or equal, where there is no table."""
    assert_fits(counts(pool_of([1, 2, 4, 13], name)), shares)


@pytest.mark.parametrize(("name", "shares"), [(NAMES[0], (1, 1)), (NAMES[1], (2, 1))])
@pytest.mark.parametrize("full", [1, 9])
def test_who_is_full_leaves_the_others_their_shares(
    name: str, shares: Sequence[int], full: int
) -> None:
    """Few or most of the pool: no neighbour inherits more than another."""
    size = full + 2
    loads = [0] + [1] * full + [0]
    got = counts(pool_of([2] + [3] * full + [1], name, loads=loads, most=loads))

    assert got[1 : size - 1] == [0] * full
    assert_fits([got[0], got[-1]], shares)


@pytest.mark.parametrize(("name", "shares"), [(NAMES[0], (3, 10)), (NAMES[1], (3, 40))])
@pytest.mark.parametrize("full", [0, 9])
def test_slow_start_takes_its_part_of_a_share(name: str, shares: Sequence[int], full: int) -> None:
    """Three tenths of it after three tenths of the time, by tries and by the whole pool."""
    loads = [0, 0] + [1] * full
    pool = pool_of([1, 4] + [3] * full, name, loads=loads, most=loads)
    start_slowly(pool, FIRST, began_ms=0, seconds=10)

    assert_fits(counts(pool, now=3000)[:2], shares)
    assert_fits(counts(pool, now=10_000)[:2], (1, 1) if name == NAMES[0] else (1, 4))


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_pool_in_slow_start_is_a_pool_like_any_other(name: str) -> None:
    """Nobody waits for what nobody else takes."""
    pool = pool_of([1, 1, 1], name)
    for at in range(3):
        start_slowly(pool, FIRST + at, began_ms=0, seconds=100)

    assert_fits(counts(pool), (1, 1, 1))


@pytest.mark.parametrize(("name", "shares"), [(NAMES[0], (1, 1)), (NAMES[1], (1, 2))])
def test_another_one_is_another_one(name: str, shares: Sequence[int]) -> None:
    """By the shares of those that remain, however heavy the one is that is left out."""
    got = counts(pool_of([1, 2, 500], name), other=FIRST + 2)

    assert got[2] == 0
    assert_fits(got[:2], shares)


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_as_good_as_two_flows(name: str) -> None:
    """Who was drawn first says nothing about the second but who it is not."""
    pool, pairs = pool_of([1] * 4, name), Counter[tuple[int, int]]()
    for draw in draws():
        first = draw_other(pool, 0, flow_of(draw=draw), NO_BACKEND_INDEX)
        pairs[first, draw_other(pool, 0, flow_of(draw=draw), first)] += 1

    every = list(itertools.permutations(range(FIRST, FIRST + 4), 2))
    assert sum(pairs[each] for each in every) == FLOWS
    assert_fits([pairs[each] for each in every], [1] * len(every))


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_drawn_where_nobody_has_room(name: str) -> None:
    """Nor from an empty pool, nor beside the only one."""
    flow = flow_of(draw=12345)

    assert draw_other(pool_of([], name), 0, flow, NO_BACKEND_INDEX) == NO_BACKEND_INDEX
    assert draw_other(pool_of([1], name), 0, flow, FIRST) == NO_BACKEND_INDEX
    full = pool_of([1, 1], name, loads=[2, 2], most=[2, 1])
    assert draw_other(full, 0, flow, NO_BACKEND_INDEX) == NO_BACKEND_INDEX


@pytest.mark.parametrize("name", NAMES)
def test_the_last_one_with_room_is_found(name: str) -> None:
    """By every flow, wherever it stands and however little it weighs."""
    for at in (0, 17, 39):
        weights, most = [65535] * 40, [1] * 40
        weights[at], most[at] = 1, 2
        pool = pool_of(weights, name, loads=[1] * 40, most=most)
        assert counts(pool, flows=200)[at] == 200


@pytest.mark.parametrize("name", NAMES)
def test_the_largest_pools_stay_within_63_bits(name: str) -> None:
    """65,535 backends of the largest weight, of which the last has room, or all but it."""
    size = 65535
    pool = pool_of(
        [65535] * size, name, loads=[1] * size, most=[1] * (size - 1) + [0], indexes=range(size)
    )
    assert draw_other(pool, 0, flow_of(draw=(1 << 31) - 1), NO_BACKEND_INDEX) == size - 1
    pool.loads[:] = 0
    found = {draw_other(pool, 0, flow_of(draw=draw), 0) for draw in draws(1000)}

    assert len(found) > 980
    assert min(found) > 0
    assert max(found) <= size - 1
