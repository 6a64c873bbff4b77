from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from natlb.control.policy import Member, Order
from natlb.control.policy.maglev import (
    claim,
    compile_maglev,
    maglev_table,
    permutation,
    turns,
)
from natlb.core.layout import KEY_SOURCE, KEY_SOURCE_PORT

PAPER = [(3, 4), (0, 2), (3, 1)]  # offset and skip of B0, B1 and B2, of 7 entries


def members_of(*weights: int) -> list[Member]:
    """Return members by weight."""
    return [Member(10 + at, f"10.9.{at:03}.1:80", weight) for at, weight in enumerate(weights)]


def test_the_example_of_the_paper() -> None:
    """Table 1: three members; and the same without B1, where B0 and B2 keep what they had."""
    assert claim(PAPER, [0, 1, 2] * 3, 7).tolist() == [1, 0, 1, 0, 2, 2, 0]
    assert claim([PAPER[0], PAPER[2]], [0, 1] * 4, 7).tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_turns_of_equals_go_round() -> None:
    """As the paper has them."""
    assert turns([1, 1, 1], 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert turns([9], 3).tolist() == [0, 0, 0]


def test_turns_of_weights_carry_over_what_is_left() -> None:
    """Two of three turns for two thirds, not none of them; all in the first."""
    assert turns([3, 2], 10).tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
    assert turns([4, 2, 1], 7).tolist() == [0, 1, 2, 0, 0, 1, 0]


@pytest.mark.parametrize("size", [251, 4093, 65537])
@pytest.mark.parametrize(
    "weights", [[1] * 10, [1, 2, 3], [65535, 65534, 1], [7, 7, 1, 7], [1] * 100 + [3] * 51]
)
def test_shares_are_those_of_the_weights(weights: list[int], size: int) -> None:
    """Rounded up or down, but for the last turn; and one entry for everybody."""
    count = Counter(maglev_table(members_of(*weights), 1, size).tolist())
    for member, weight in enumerate(weights):
        share = size * weight / sum(weights)
        assert count[member] >= 1
        assert share - len(weights) * weight / sum(weights) - 1 < count[member] < share + 1.001


def test_a_permutation_goes_by_key_and_seed() -> None:
    """Never a skip of none; known by heart, since a restart must not change it."""
    assert len({permutation(f"b{at}", seed, 65537) for at in range(99) for seed in (1, 2)}) == 198
    for key in range(200):
        offset, skip = permutation(f"b{key}", 1, 3)
        assert offset in range(3)
        assert skip in {1, 2}
    assert permutation("10.77.0.11:8080", 1, 65537) == (7036, 49312)


def test_tables_are_equal_on_all_nodes() -> None:
    """In whatever order the file has them and whatever their indexes are."""
    members = members_of(1, 2, 3, 4)
    renumbered = [Member(99 - each.index, each.key, each.weight) for each in members[::-1]]
    ring, other = (
        compile_maglev(Order(members=some, seed=5)).ring for some in (members, renumbered)
    )

    assert np.array_equal(ring, 99 - other)
    assert (ring != compile_maglev(Order(members=members, seed=6)).ring).mean() > 0.5


def test_what_the_configuration_says_counts() -> None:
    """The size of the table, and what is hashed; an empty pool has no table."""
    order = Order(members=members_of(1, 1), parameters={"size": 251, "key": "address"})

    assert compile_maglev(order).ring.size == 251
    assert compile_maglev(order).key == KEY_SOURCE
    assert compile_maglev(Order(members=[])).ring.size == 0
    assert compile_maglev(Order(members=[])).key == KEY_SOURCE_PORT


def test_more_members_than_entries_leave_some_without() -> None:
    """The configuration refuses that; those added later find a table all the same."""
    assert sorted(maglev_table(members_of(*[1] * 9), 1, 7).tolist()) == [0, 1, 2, 3, 4, 5, 6]


def test_a_hundred_members_take_half_a_second_at_most() -> None:
    """Of this processor, for 65,537 entries."""
    began = time.process_time()
    maglev_table(members_of(*(1 + at % 7 for at in range(100))), 1, 65537)

    assert time.process_time() - began < 0.5
