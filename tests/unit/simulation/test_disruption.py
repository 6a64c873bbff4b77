from __future__ import annotations

import numpy as np
import pytest

from natlb.simulation import run as runs
from natlb.simulation.changes import read_span
from natlb.simulation.contenders import contender, invented
from natlb.simulation.disruption import Poll, share_moved
from natlb.simulation.kernels.world import make_world
from natlb.simulation.run import Scenario, prepare
from natlb.simulation.stage import Stage
from tests.simulations import played, workload


@pytest.fixture(autouse=True)
def few_are_asked(monkeypatch) -> None:
    """Interpreted, twenty thousand are many."""
    monkeypatch.setattr("natlb.simulation.disruption.CLIENTS", 1000)


def poll(words: str, backends: int = 4) -> Poll:
    """Return a poll among clients of a policy."""
    arena = invented([1] * backends, 1)
    asked = contender(words, backends)
    stage = Stage(arena, asked.policy, 10)
    script = runs._script(arena, Scenario(workload=workload(1)), 0)
    prepare(stage, script, make_world(1, backends, np.zeros(0, np.int64)))
    return Poll(stage, 1, asked.pick_on(stage))


@pytest.mark.parametrize(
    ("words", "goes_by_the_client"),
    [
        ("source-hash", True),
        ("contrast-modulo", True),
        ("round-robin", False),
        ("random", False),
        ("weighted-round-robin", False),
        ("power-of-two", False),
        ("least-connections", False),
        ("contrast-first-on-ties", False),
        ("contrast-ipvs-sed", False),
    ],
)
def test_whether_a_policy_goes_by_the_client_is_told_by_asking(words, goes_by_the_client) -> None:
    """No list of names to keep."""
    assert (poll(words).ask() is not None) == goes_by_the_client


def test_a_pool_of_one_is_one_for_all() -> None:
    """That is no sign that nobody goes by the client."""
    assert poll("source-hash", 1).ask() is not None


def test_asking_changes_nothing() -> None:
    """Round robin's turn is where it was."""
    asked = poll("round-robin")
    kept = asked._stage.core.counters.policy.copy()
    asked.ask()

    assert (asked._stage.core.counters.policy == kept).all()


def test_who_had_to_move_and_who_did() -> None:
    """Backend 1 left: its two clients had to; one of the others did as well."""
    before, after = np.array([0, 1, 1, 2, 3]), np.array([0, 2, 3, 0, 3])

    assert share_moved(before, after, 1) == (0.4, 0.6)
    assert share_moved(after, before, 1) == (0.4, 0.6)
    assert share_moved(None, after, 1) == (None, None)


def test_rendezvous_moves_those_who_have_to_and_modulo_nearly_all() -> None:
    """One of four leaves: a quarter, and three quarters."""
    changes = read_span("fail", "b2@0.1-0.2")
    steady = played("source-hash", weights=[1] * 4, changes=changes).disruptions
    modulo = played("contrast-modulo", weights=[1] * 4, changes=changes).disruptions

    assert [str(each.change) for each in steady] == ["fail b2", "recover b2"]
    assert [each.leaves for each in steady] == [True, False]
    assert all(each.changed == each.necessary for each in steady)
    assert all(each.necessary == pytest.approx(0.25, abs=0.07) for each in steady)  # 5 sigma
    assert all((each.changed or 0.0) == pytest.approx(0.75, abs=0.07) for each in modulo)
