"""One source, two ways to run it: they must not differ in a single octet of anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from natlb import jit
from natlb.engine import Verdict
from tests.stream import BATCH, play

STEPS = settings.default.max_examples  # type: ignore[union-attr] # of 24 packets each
SEEDS = range(1, 4)


@pytest.mark.skipif(not jit.COMPILED, reason="the compiled run compares both")
@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_and_interpreted_engines_agree_on_everything(seed: int) -> None:
    """Packets out, verdicts, counters, tables, each octet of the flow table and of all else."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stream", str(seed), str(STEPS)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NATLB_JIT": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    interpreted = done.stdout.splitlines()

    for here, there in zip(play(seed, STEPS), interpreted, strict=True):
        assert here == there


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_reaches_every_corner(seed: int) -> None:
    """Else equality would be about nothing: all verdicts, most of them many times."""
    steps = 100
    lines = [line.split() for line in list(play(seed, steps))[:steps]]
    verdicts = Counter("".join(line[1] for line in lines))

    assert sum(verdicts.values()) == steps * BATCH
    for verdict in Verdict:
        assert verdicts[str(int(verdict))] > 20, verdicts
    assert any(line[3] != "-" for line in lines)


def test_the_same_seed_plays_the_same() -> None:
    """And another does not."""
    assert list(play(7, 5)) == list(play(7, 5))
    assert list(play(7, 5)) != list(play(8, 5))
