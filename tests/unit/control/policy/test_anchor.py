from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.control.policy import Compiled, Member, Memory, Order
from natlb.control.policy.anchor import arrays, compile_anchor, unit_of, units
from natlb.core.layout import KEY_SOURCE, KEY_SOURCE_PORT
from tests.spread import anchor_buckets, spread_hashes

HASHES = spread_hashes(2000, 1)
WEIGHTS = {f"b{at}": 1 + at % 4 for at in range(10)}


def compiled(weights: dict[str, int], memory: Memory | None = None, size: int = 64) -> Compiled:
    """Return what is made for these members, whose indexes are their numbers in WEIGHTS."""
    members = [Member(int(name[1:]), name, weight) for name, weight in weights.items()]
    order = Order(members=members, seed=1, parameters={"size": size}, memory=memory or {})
    return compile_anchor(order)


def picked(anchor: Compiled) -> np.ndarray:
    """Return the number of the member that each of HASHES gets."""
    (size,) = anchor.parameters
    lists = anchor.ring.reshape(3, size)
    return lists[0][anchor_buckets(lists[1], lists[2], HASHES)]


def pool(*numbers: int) -> dict[str, int]:
    """Return members of weight 1."""
    return {f"b{number}": 1 for number in numbers}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.integers(1, 6), min_size=1), max_size=8
    )
)
def test_nobody_moves_but_from_who_lost_or_to_who_won(pools: list[dict[str, int]]) -> None:
    """Whatever leaves, comes or changes its weight in whatever order, while the unit is kept."""
    before, weights = compiled(WEIGHTS), WEIGHTS
    for now in pools:
        after = compiled(now, json.loads(json.dumps(before.memory)))
        if after.memory["unit"] == before.memory["unit"]:
            lost = {int(name[1:]) for name in weights if weights[name] > now.get(name, 0)}
            won = {int(name[1:]) for name in now if now[name] > weights.get(name, 0)}
            was, gets = picked(before), picked(after)
            moved = was != gets
            assert all(a in lost or b in won for a, b in zip(was[moved], gets[moved], strict=True))
        before, weights = after, now


def test_a_unit_changes_only_where_it_cannot_count_the_weights() -> None:
    """Leaving never changes it."""
    first = compiled({"b0": 2, "b1": 2, "b2": 3})
    assert first.memory["unit"] == ["1"]
    assert compiled({"b0": 2, "b1": 2}, first.memory).memory["unit"] == ["1"]

    assert compiled({"b0": 2, "b1": 2}).memory["unit"] == ["2"]
    even = compiled({"b0": 2, "b1": 2}).memory
    assert compiled({"b0": 2, "b1": 3}, even).memory["unit"] == ["1"]


@pytest.mark.parametrize(
    ("weights", "size", "kept", "unit"),
    [([3], 8, 0, 3), ([4, 6], 8, 0, 2), ([5, 5, 5], 8, 1, 5), ([1, 2], 8, 1, 1), ([9, 8], 8, 0, 3),
     ([65535, 1], 1024, 0, 65), ([65535, 65534], 2, 0, 43691), ([9, 8], 8, 4, 4),
     ([9, 8], 8, 2, 3)],
)  # fmt: skip
def test_a_unit_is_one_that_all_buckets_fit(
    weights: list[int], size: int, kept: int, unit: int
) -> None:
    """The greatest that divides all weights, or the least that fits; the one before if it will."""
    assert unit_of(weights, size, kept) == unit
    assert sum(units(weight, unit) for weight in weights) <= size


def test_fresh_nodes_agree() -> None:
    """Whatever the order of their files."""
    weights = {"b3": 3, "b1": 1, "b2": 2}
    other = dict(sorted(weights.items()))

    assert np.array_equal(compiled(weights).ring, compiled(other).ring)
    assert compiled(weights).memory == compiled(other).memory
    assert Counter(compiled(weights).memory["owners"]) == {"b1": 1, "b2": 2, "b3": 3, "": 58}


def test_shares_are_those_of_the_weights() -> None:
    """Within six standard deviations: a false alarm in 10^8 seeds, of which one is fixed."""
    got = Counter(picked(compiled({"b0": 100, "b1": 200, "b2": 300})).tolist())
    for number in range(3):
        share = 2000 * (number + 1) / 6
        assert abs(got[number] - share) < 6 * share**0.5


def test_who_comes_back_gets_its_own_again() -> None:
    """One alone, or several together."""
    before = compiled(WEIGHTS)
    for gone in (["b3"], ["b1", "b4", "b8"]):
        less = {name: weight for name, weight in WEIGHTS.items() if name not in gone}
        again = compiled(WEIGHTS, compiled(less, before.memory).memory)
        assert np.array_equal(picked(before), picked(again))


def test_an_empty_pool_forgets_nothing() -> None:
    """All down for a while is no reason to move anybody."""
    before = compiled(pool(1, 2, 3), compiled(pool(1, 2, 3, 4)).memory)
    empty = compiled({}, before.memory)

    assert empty.ring.size == 0
    assert np.array_equal(picked(compiled(pool(1, 2, 3), empty.memory)), picked(before))


@pytest.mark.parametrize(
    "damage",
    [{"owners": ["b1"]}, {"removed": ["x"]}, {"removed": ["1", "1"]}, {"removed": ["64"]},
     {"unit": ["-1"]}, {"unit": ["1", "2"]}],
)  # fmt: skip
def test_a_memory_that_cannot_be_is_none(damage: dict[str, list[str]]) -> None:
    """As if nothing had been before."""
    memory = {**compiled(pool(5, 6, 7)).memory, **damage}

    assert np.array_equal(compiled(pool(1, 2), memory).ring, compiled(pool(1, 2)).ring)


def test_another_size_begins_anew() -> None:
    """Or a pool that is larger than the size: each member has a bucket."""
    memory = compiled(pool(1, 2, 3, 4)).memory

    assert compiled(pool(1, 2), memory, size=128).parameters == (128,)
    assert compiled(pool(1, 2, 3, 4), memory, size=2).parameters == (4,)


def test_the_arrays_of_the_paper() -> None:
    """Worked by hand: 6, 5, 1 and 0 of seven removed, 4 and 3 take the places of 1 and 0."""
    left, successor = arrays(7, [6, 5, 1, 0])

    assert left.tolist() == [3, 4, 0, 0, 0, 5, 6]
    assert successor.tolist() == [3, 4, 2, 3, 4, 5, 6]


def test_what_is_hashed_is_the_configuration_s() -> None:
    """Address and port unless told."""
    members = [Member(1, "b1", 1)]

    assert compile_anchor(Order(members=members)).key == KEY_SOURCE_PORT
    assert compile_anchor(Order(members=[], parameters={"key": "address"})).key == KEY_SOURCE
