"""Whether counts fit a distribution: Pearson's chi-square test with a stated rate of false alarms.

`assert_fits()` is what tests of distributions call. With fixed seeds its answer is the same in each
run; the rate says how likely a right program was to fail it when the seed was chosen.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FALSE_ALARMS = 1e-6
LEAST_EXPECTED = 5  # flows in each cell, below which the statistic is no chi-square (Cochran, 1954)


def statistic(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return Pearson's statistic: the squared deviations, each in units of what was expected.

    `shares` need not sum to 1: weights will do.
    """
    flows, whole = sum(counts), sum(shares)
    expected = [flows * share / whole for share in shares]
    assert min(expected) >= LEAST_EXPECTED, f"too few flows: {min(expected):.1f} expected"
    pairs = zip(counts, expected, strict=True)
    return sum((count - mean) ** 2 / mean for count, mean in pairs)


def bound(freedom: int, false_alarms: float = FALSE_ALARMS) -> float:
    """Return what the statistic exceeds so rarely, by Wilson and Hilferty's approximation (1931).

    For small rates it errs upward, by 15 % at one degree of freedom, and 2 % at ten.
    """
    deviate = NormalDist().inv_cdf(1 - false_alarms)
    variance = 2 / (9 * freedom)
    return float(freedom * (1 - variance + deviate * variance**0.5) ** 3)


def assert_fits(
    counts: Sequence[int], shares: Sequence[float], false_alarms: float = FALSE_ALARMS
) -> None:
    """Fail where counts are further from the shares than chance allows."""
    found, most = statistic(counts, shares), bound(len(counts) - 1, false_alarms)

    assert found <= most, f"chi-square {found:.1f} > {most:.1f}: {list(counts)} for {list(shares)}"
