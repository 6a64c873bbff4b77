"""Two nodes of one seed and pool give every client the same backend.

Each compiles its own tables: backends stand in another order in its file and have other indexes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.datapath import engine
from tests.spread import owners, sampled, spread_hashes
from tests.unit.core.policy.pools import pool_of

if TYPE_CHECKING:
    from natlb.core.policy import Pool

TUPLES = 1_000_000
NAMES = [f"10.9.{number >> 8}.{number & 255}:80" for number in range(100)]
WEIGHTS = [1 + number % 4 for number in range(100)]
POLICIES: dict[str, dict[str, object]] = {
    "source-hash": {},
    "destination-hash": {},
    "maglev": {},
    "rendezvous": {},
    "anchor": {},
    "bounded-load": {"base": "maglev", "factor": 1.1},
}


def node(policy: str, order: list[int], first: int, seed: int, **parameters: Any) -> Pool:
    """Return one node's pool, its backends in this order, with loads that are theirs by name."""
    loads = np.random.default_rng(5).integers(0, 40, len(NAMES))
    return pool_of(
        [WEIGHTS[number] for number in order],
        policy,
        indexes=range(first, first + len(order)),
        loads=[int(loads[number]) for number in order],
        seed=seed,
        parameters=parameters,
        names=[NAMES[number] for number in order],
    )


def by_name(pool: Pool, order: list[int], first: int, hashes: Any) -> Any:
    """Return which of NAMES each flow gets; the policy itself picks the same."""
    chosen = owners(pool, hashes)
    assert sampled(pool, hashes, chosen)
    return np.array(order)[chosen - first]


@pytest.mark.parametrize("policy", POLICIES)
def test_nodes_of_a_seed_agree_on_every_tuple(policy: str) -> None:
    """All of a million; and another seed spreads them otherwise."""
    engine()  # types are prepared
    here = list(range(100))
    there = random.Random(3).sample(here, 100)
    hashes = spread_hashes(TUPLES, seed=11)

    ours = by_name(node(policy, here, 1, 11, **POLICIES[policy]), here, 1, hashes)
    theirs = by_name(node(policy, there, 700, 11, **POLICIES[policy]), there, 700, hashes)
    assert np.array_equal(ours, theirs)
    assert np.unique(ours).size >= 50  # half of them are at their cap, of bounded load


@pytest.mark.parametrize("policy", POLICIES)
def test_without_the_seed_the_spread_cannot_be_told(policy: str) -> None:
    """Under another seed a client gets the same backend no more often than chance has it.

    Chance: the sum of squared shares, which for weights of 1 to 4 is 0.012, and 0.023 where half
    of the pool is at its cap. Of 10^5 clients at most 0.03: a false alarm in 10^9 pairs of seeds.
    """
    order = list(range(100))
    first, second = (
        owners(node(policy, order, 1, seed, **POLICIES[policy]), spread_hashes(100_000, seed))
        for seed in (11, 12)
    )
    assert (first == second).mean() < 0.03
