from __future__ import annotations

import numpy as np
import pytest

from natlb.simulation.kernels.world import BROKEN, EVICTED
from natlb.simulation.measures import (
    balance_of,
    course_of,
    flows_of,
    herd_of,
    jain,
    measure,
    shares_of,
    waiting_of,
    waits_of,
)
from natlb.wire.reasons import BACKEND_LIMIT, NO_BACKEND
from tests.simulations import outcome


def test_what_became_of_the_flows() -> None:
    """By reason, as the counters name them."""
    seen = outcome([0, -NO_BACKEND, -NO_BACKEND, -BACKEND_LIMIT])
    seen.world.numbers[EVICTED], seen.world.numbers[BROKEN] = 2, 3
    flows = flows_of(seen)

    assert flows.offered == 4
    assert flows.refused == {"no-backend": 2, "backend-limit": 1}
    assert flows.refused_in_all == 3
    assert (flows.evicted, flows.broken) == (2, 3)


def test_shares_beside_those_of_weights() -> None:
    """Refused flows are nobody's."""
    shares = shares_of(outcome([0, 0, 0, 1, -NO_BACKEND], weights=[1, 3]))

    assert [(each.flows, each.share, each.due) for each in shares] == [
        (3, 0.75, 0.25),
        (1, 0.25, 0.75),
    ]


def test_even_load_is_even() -> None:
    """All figures say one."""
    balance = balance_of(outcome([0], [[4, 4]] * 10))

    assert (balance.max_to_mean, balance.variation, balance.jain) == (1.0, 0.0, 1.0)
    assert balance.peak_to_mean == 1.0


def test_all_on_one_of_two() -> None:
    """Twice the mean, and half of Jain's index."""
    balance = balance_of(outcome([0], [[6, 0]] * 10))

    assert (balance.max_to_mean, balance.variation, balance.jain) == (2.0, 1.0, 0.5)


def test_load_is_over_weight() -> None:
    """Three times the flows at three times the weight is even."""
    assert balance_of(outcome([0], [[2, 6]] * 10, weights=[1, 3])).max_to_mean == 1.0


def test_a_backend_that_is_away_is_not_compared() -> None:
    """Its zero is no imbalance; nor is the time in which the pool fills."""
    serving = np.ones((10, 3), np.bool_)
    serving[:, 2] = False
    samples = [[9, 0, 0], *[[5, 5, 0]] * 9]

    assert balance_of(outcome([0], samples, serving=serving)).max_to_mean == 1.0


def test_the_peak_is_the_highest_there_was_over_the_mean_of_all_time() -> None:
    """One moment of eight among fours."""
    seen = outcome([0], [[4, 4]] * 10)
    seen.world.peaks[:] = [8, 4]

    assert balance_of(seen).peak_to_mean == 2.0


def test_no_load_has_no_balance() -> None:
    """And no division by zero."""
    assert balance_of(outcome([0], [[0, 0]] * 10)).max_to_mean is None
    assert measure(outcome([-NO_BACKEND], [[0, 0]] * 10)).fairness is None


def test_jain() -> None:
    """The paper's: of n one has all, 1/n."""
    assert jain(np.array([1.0, 0.0, 0.0, 0.0])) == 0.25
    assert jain(np.array([2.0, 2.0])) == 1.0
    assert jain(np.array([0.0])) is None


def test_herds() -> None:
    """Flows a second apart, a handshake of one and a half."""
    herd = herd_of(outcome([0, 1, 1, 1, 0, 0], [[1, 1]]))

    assert herd.in_a_row == 3
    assert (herd.in_a_handshake, herd.came_then) == (2, 2)


def test_no_flow_is_no_herd() -> None:
    """Where all were refused."""
    assert herd_of(outcome([-NO_BACKEND])).in_a_row == 0


def test_waiting_is_from_the_answer_to_the_server() -> None:
    """Of those that were served."""
    seen = outcome([0, 0, 0])
    seen.world.answered[:] = [1_000_000, 2_000_000, 3_000_000]
    seen.world.served[:] = [2_500_000, 2_000_000, -1]
    limited = outcome([0], world=seen.world, script=seen.script._replace(servers=1))
    waiting = waiting_of(limited)

    assert list(waits_of(limited)) == [0.0, 1.5]
    assert waiting is not None
    assert (waiting.mean, waiting.p50, waiting.most) == (0.75, 0.75, 1.5)
    assert waiting.p99 == pytest.approx(1.485)
    assert waiting_of(seen) is None  # servers without end


def test_a_course_is_a_hundred_steps() -> None:
    """For whoever draws it elsewhere."""
    course = course_of(outcome([0], [[each, 0] for each in range(301)]))

    assert course.seconds[:2] == [0.0, 3.0]
    assert course.flows["b1"][-1] == 300
    assert set(course.flows["b2"]) == {0}
    assert len(course.seconds) == 101


def test_a_report_has_all() -> None:
    """And the words that the policy was asked for with."""
    report = measure(outcome([0, 1, 0, 1], [[1, 1]] * 10))

    assert report.policy == "by hand"
    assert report.fairness == 1.0
    assert report.waiting_seconds is None
