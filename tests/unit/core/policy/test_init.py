from __future__ import annotations

import numpy as np
import pytest

from natlb.control.policy import COMPILERS
from natlb.core.layout import SERVICE
from natlb.core.policy import NO_BACKEND_INDEX, POLICY_NAMES, pick
from tests.datapath import engine
from tests.unit.core.policy.pools import pool_of


def test_every_policy_has_both_its_halves() -> None:
    """One file for each, one line in each registry, and a kernel that picks."""
    assert set(COMPILERS) == set(POLICY_NAMES)
    assert POLICY_NAMES[:2] == ("round-robin", "source-hash")  # tables hold these by number


@pytest.mark.parametrize("number", range(len(POLICY_NAMES)))
def test_the_number_of_a_policy_is_its_place(number: int) -> None:
    """Each picks from its ring, and none from an empty one."""
    engine()  # types are prepared
    assert pick(pool_of([7], policy=number), 0, 12345, 1) == 7
    assert pick(pool_of([], policy=number), 0, 12345, 1) == NO_BACKEND_INDEX


def test_a_number_that_no_policy_has_picks_nothing() -> None:
    """Rather than whatever comes first."""
    engine()

    assert pick(pool_of([7], policy=len(POLICY_NAMES)), 0, 0, 0) == NO_BACKEND_INDEX
    assert np.iinfo(SERVICE["policy"]).max > len(POLICY_NAMES)
