from __future__ import annotations

import pytest

from natlb.control.policy import COMPILERS
from natlb.core import policy
from natlb.core.layout import FIRST_PROGRAM
from natlb.core.policy import NO_BACKEND_INDEX, POLICY_NAMES, pick
from tests.datapath import engine
from tests.unit.core.policy.pools import flow_of, pool_of


def test_every_policy_has_both_its_halves() -> None:
    """One file for each, one line in each registry, and a kernel that picks."""
    assert set(COMPILERS) - {"python"} == set(POLICY_NAMES)  # which is a program's


def test_the_numbers_that_kernels_know_are_those_of_the_names() -> None:
    """Tables hold the place in the tuple, `pick()` compares with a constant."""
    for number, name in enumerate(POLICY_NAMES):
        assert getattr(policy, name.upper().replace("-", "_")) == number


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_the_number_of_a_policy_is_its_place(name: str) -> None:
    """Each picks from its pool, and none from an empty one."""
    engine()  # types are prepared
    assert pick(pool_of([3], name, indexes=[7]), 0, flow_of(12345, draw=1)) == 7
    assert pick(pool_of([], name), 0, flow_of(12345, draw=1)) == NO_BACKEND_INDEX


def test_a_number_that_no_policy_has_picks_nothing() -> None:
    """Rather than whatever comes first."""
    engine()
    pool = pool_of([1])
    choices = pool.choices.copy()
    choices[0]["policy"] = len(POLICY_NAMES)

    assert pick(pool._replace(choices=choices), 0, flow_of()) == NO_BACKEND_INDEX
    assert len(POLICY_NAMES) < FIRST_PROGRAM
