"""How workers side by side are counted up; what they carry is for the machine to say."""

from __future__ import annotations

import pytest

from bench.results import OURS, judge
from bench.workers import counts_for, measures, words_of


@pytest.mark.parametrize(("cpus", "counts"), [(1, [1]), (2, [1, 2]), (7, [1, 2, 4])])
def test_no_more_workers_are_measured_than_there_are_cpus(cpus: int, counts: list[int]) -> None:
    """They would take turns."""
    assert counts_for(cpus) == counts


def test_several_are_compared_with_one_repetition_by_repetition() -> None:
    """The machine drifts, both with it."""
    found = list(measures({1: [10.0, 20.0], 2: [18.0, 30.0]}))

    assert [each.unit for each in found] == ["M packets/s", "M packets/s", "times"]
    assert found[-1].figures[OURS] == (1.8, 1.5)
    judged = judge(found[-1])
    assert judged is not None
    assert judged.met
    assert (words_of(1), words_of(2, "CPU")) == ("1 worker", "2 CPUs")
