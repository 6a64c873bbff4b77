from __future__ import annotations

import random

import pytest

from tests.chi_square import assert_fits, bound, statistic

# NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.4: upper critical values
PUBLISHED = {
    (1, 0.05): 3.841,
    (1, 0.001): 10.828,
    (2, 0.05): 5.991,
    (3, 0.01): 11.345,
    (10, 0.05): 18.307,
    (10, 0.001): 29.588,
    (100, 0.05): 124.342,
    (100, 0.001): 149.449,
}


@pytest.mark.parametrize(("freedom", "rate"), PUBLISHED)
def test_the_bound_is_the_published_one(freedom: int, rate: float) -> None:
    """Within what the approximation is good for."""
    assert bound(freedom, rate) == pytest.approx(PUBLISHED[freedom, rate], rel=0.04)


def test_the_statistic_is_pearsons() -> None:
    """Worked out by hand: 10 flows more and 10 fewer than the 50 expected."""
    assert statistic([60, 40], [1, 1]) == pytest.approx(4.0)
    assert statistic([30, 60], [1, 2]) == 0


def test_a_fair_die_raises_as_many_false_alarms_as_stated() -> None:
    """Of 4,000 throws of 120 dice at a rate of 5 %: 200, give or take five deviations of 13.8."""
    alarms = 0
    for _ in range(4000):
        throws = random.choices(range(6), k=120)
        alarms += statistic([throws.count(side) for side in range(6)], [1] * 6) > bound(5, 0.05)

    assert abs(alarms - 200) < 5 * 13.8


def test_what_does_not_fit_is_told() -> None:
    """Seven in a hundred too many for one side, in 60,000 throws."""
    assert_fits([10_050, 9_950, 10_020, 9_980, 10_000, 10_000], [1] * 6)
    with pytest.raises(AssertionError, match="chi-square"):
        assert_fits([10_700, 9_860, 9_860, 9_860, 9_860, 9_860], [1] * 6)
    with pytest.raises(AssertionError, match="too few flows"):
        assert_fits([4, 4], [1, 1])
