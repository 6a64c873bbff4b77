"""Each policy picks the same compiled and interpreted, and within the laws of all policies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from natlb import jit
from natlb.core.policy import NO_BACKEND_INDEX, POLICY_NAMES
from tests.datapath import engine
from tests.picks import FLOWS, POOLS, play

SEEDS = range(1, 4)


@pytest.mark.skipif(not jit.COMPILED, reason="the compiled run compares both")
@pytest.mark.parametrize("seed", SEEDS)
def test_every_policy_picks_the_same_compiled_and_interpreted(seed: int) -> None:
    """And keeps the same in its words; over 700 flows for each policy and seed."""
    engine()  # it has `pick` compiled
    done = subprocess.run(
        [sys.executable, "-m", "tests.picks", str(seed)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NATLB_JIT": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    interpreted = done.stdout.splitlines()

    assert len(interpreted) == POOLS * len(POLICY_NAMES)
    for here, there in zip(play(seed), interpreted, strict=True):
        assert here == there


@pytest.mark.parametrize("policy", POLICY_NAMES)
def test_pools_at_random_reach_every_corner(policy: str) -> None:
    """Else equality would be about nothing: many backends are picked, and at times nobody."""
    engine()
    picked: Counter[int] = Counter()
    for seed in SEEDS:
        for line in play(seed, (policy,)):
            picked.update(int(each) for each in line.split()[1].split(","))

    assert picked.total() == len(SEEDS) * POOLS * FLOWS
    assert picked[NO_BACKEND_INDEX] > 0
    assert len(picked) > 3  # `first` needs few


def test_the_same_seed_plays_the_same() -> None:
    """And another does not."""
    engine()

    assert list(play(7, ("random",))) == list(play(7, ("random",)))
    assert list(play(7, ("random",))) != list(play(8, ("random",)))
