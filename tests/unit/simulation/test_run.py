from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from natlb.control.config import PolicyConfig
from natlb.core.policy import POLICY_NAMES, pick
from natlb.errors import ConfigError, UsageError
from natlb.jit import COMPILED
from natlb.simulation.changes import Change, read_span
from natlb.simulation.contenders import contender, invented
from natlb.simulation.measures import balance_of, shares_of, waits_of
from natlb.simulation.run import CONTRASTS, SAMPLES, Contender
from natlb.simulation.stage import Stage
from tests.simulations import needs_compiled, played, workload

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def few_are_asked(monkeypatch) -> None:
    """Interpreted, twenty thousand are many."""
    monkeypatch.setattr("natlb.simulation.disruption.CLIENTS", 200)


def test_a_contender_s_pick_is_natlb_s_own_but_of_a_contrast() -> None:
    """Contrasts cannot be configured, so they are no policies of the core."""
    own = Contender(words="x", policy=PolicyConfig(name="source-hash"))
    stage = Stage(invented([1], 1), own.policy, 10)

    assert own.pick_on(stage) is pick
    assert contender("contrast-modulo", 3).pick_on(stage) is CONTRASTS["contrast-modulo"]


@pytest.mark.skipif(COMPILED, reason="compiling a program takes ten seconds, elsewhere as well")
def test_a_program_of_the_user_s_own_is_played(tmp_path) -> None:
    """It gives all to the last of the pool; a broken one is refused with file and line."""
    file = tmp_path / "mine.py"
    file.write_text("def pick(pool, flow):\n    return len(pool.weights) - 1\n")
    world = played(f"python:file={file}").world
    file.write_text("def pick(pool, flow):\n    return open('x')\n")

    assert set(world.backends) == {2}
    with pytest.raises(ConfigError, match=r"mine\.py"):
        played(f"python:file={file}")


def test_every_policy_sees_the_same_flows() -> None:
    """Only who gets them differs."""
    one, other = played("round-robin"), played("source-hash")

    assert (one.script.starts == other.script.starts).all()
    assert (one.world.backends != other.world.backends).any()


def test_it_comes_out_the_same_again() -> None:
    """All chance is seeded."""
    changes = read_span("drain", "b1@0.2-0.3")
    one, again = (played("source-hash", changes=changes, servers=2).world for _ in range(2))

    for name in one._fields:
        assert (getattr(one, name) == getattr(again, name)).all(), name


def test_who_serves_is_known_of_each_sample() -> None:
    """A backend that is away is not of the pool that is compared."""
    outcome = played(changes=read_span("fail", "b2@0.2-0.4"))
    moments = outcome.world.moments
    is_away = (moments > 200_000) & (moments < 400_000)

    assert moments.size == SAMPLES
    assert (outcome.serving[:, 1] == ~is_away).mean() > 0.99
    assert outcome.serving[:, [0, 2]].all()


def test_changes_are_made_in_the_order_of_time() -> None:
    """Whatever order they were given in."""
    changes = [
        Change(at_seconds=0.4, kind="ready", backend="b1"),
        Change(at_seconds=0.1, kind="drain", backend="b1"),
    ]

    assert [each.change for each in played(changes=changes).disruptions] == ["drain b1", "ready b1"]


@pytest.mark.parametrize("scenario", [{"slowness": {"b9": 2.0}},
                                      {"changes": read_span("fail", "b9@1")}])  # fmt: skip
def test_a_backend_that_is_not_there_is_refused(scenario) -> None:
    """Before anything is run."""
    with pytest.raises(UsageError, match="no backend 'b9'; there are b1, b2, b3"):
        played(**scenario)


@pytest.mark.skipif(not COMPILED, reason="the other half is compiled")
def test_compiled_and_interpreted_it_is_the_same() -> None:
    """The whole document, to the last digit."""
    words = [
        *("simulate", "--json", "--flows=150", "--servers=2", "--slow=b2:3", "--backends=3"),
        *("--arrivals=poisson:200", "--clients=zipf:1.1:50", "--fail=b1@0.3-0.5"),
        *("--policy=round-robin", "--policy=source-hash", "--policy=contrast-ipvs-sed"),
    ]
    script = (
        "import sys; from natlb.cli import main; from natlb.simulation import disruption;"
        "disruption.CLIENTS = 200; sys.exit(main(sys.argv[1:]))"
    )
    documents = [
        subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=ROOT,
            env={**os.environ, "NATLB_JIT": jit},
            capture_output=True,
            check=True,
        ).stdout
        for jit in ("0", "1")
    ]

    assert json.loads(documents[0])["policies"]
    assert documents[0] == documents[1]


def erlang_c(servers: int, load: float) -> float:
    """Return the chance to wait in M/M/c (Erlang, 1917)."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.soak
@needs_compiled
def test_a_million_flows_take_ten_seconds_at_most() -> None:
    """Each policy that can be named, the slowest of them too; two seconds, measured."""
    flows = workload(1_000_000, arrivals="poisson:1000", holding="exp:1")
    played("round-robin", weights=[1] * 10)  # compiled, or loaded
    for words in POLICY_NAMES:
        began = time.monotonic()
        played(words, weights=[1] * 10, flows=flows)

        assert time.monotonic() - began < 10.0, words


@needs_compiled
def test_waiting_is_that_of_erlang_c() -> None:
    """M/M/4 at four fifths of its capacity, 400,000 flows.

    Waits of flows near each other are alike: for about 0.25 s here, so that 1,250 s are worth some
    5,000 flows. Tolerances are four standard errors of so many, or more.
    """
    rate, mean, servers = 320.0, 0.01, 4
    flows = workload(400_000, arrivals=f"poisson:{rate}", holding=f"exp:{mean}")
    waits = waits_of(played(weights=[1], flows=flows, servers=servers))
    chance = erlang_c(servers, rate * mean)
    drain = servers / mean - rate  # waits end at this rate

    assert (waits > 0).mean() == pytest.approx(chance, rel=0.04)
    assert waits.mean() == pytest.approx(chance / drain, rel=0.09)
    assert np.percentile(waits, 99) == pytest.approx(math.log(chance / 0.01) / drain, rel=0.12)


@needs_compiled
def test_chance_spreads_as_the_binomial_does() -> None:
    """Clients that call once, by a hash that is even: as drawn at random.

    Chi-squared with 9 degrees of freedom passes 44.8 once in a million.
    """
    flows = workload(100_000, arrivals="poisson:1000", holding="exp:1", clients="uniform:4000000")
    outcome = played("contrast-modulo", weights=[1] * 10, flows=flows)
    counts = np.array([each.flows for each in shares_of(outcome)])

    assert ((counts - 10_000) ** 2 / 10_000).sum() < 44.8


@needs_compiled
def test_load_without_limit_varies_as_poisson_does() -> None:
    """Each of ten has 100 flows at a time (Little), give or take ten (M/G/inf).

    The deviation among n is that of the law times the root of (n - 1) / n. 100 s are worth about
    fifty looks at ten backends: 4 % standard error, of which four are allowed.
    """
    flows = workload(100_000, arrivals="poisson:1000", holding="exp:1", clients="uniform:4000000")
    balance = balance_of(played("contrast-modulo", weights=[1] * 10, flows=flows))

    assert balance.variation == pytest.approx(0.1 * math.sqrt(0.9), rel=0.16)
