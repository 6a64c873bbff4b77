"""How figures are judged."""

from __future__ import annotations

import json

import pytest

from bench.results import OURS, Aim, Measure, Results, Settings, judge, ratio


def measure(aim: Aim | None = None, /, **figures: tuple[float, ...]) -> Measure:
    """Return a measure of some part."""
    return Measure(part="tun", name="packets", unit="k/s", figures=figures, aim=aim)


def test_a_ratio_is_taken_repetition_by_repetition() -> None:
    """The machine's drift is in both columns of a repetition: 100/200, 50/100, 10/10."""
    drifting = measure(natlb=(100, 50, 10), bare=(200, 100, 10))

    assert ratio(drifting, OURS, "bare") == pytest.approx(0.5)


@pytest.mark.parametrize("figures", [{}, {"natlb": (1.0,)}, {"natlb": (1.0,), "bare": (0.0,)}])
def test_without_both_columns_there_is_no_ratio(figures: dict[str, tuple[float, ...]]) -> None:
    """A column that was left out, or a figure of nothing, makes no number."""
    assert ratio(measure(**figures), OURS, "bare") is None
    assert judge(measure(Aim(at_least=0.95, of="bare"), **figures)) is None


@pytest.mark.parametrize(
    ("aim", "share", "met"),
    [
        (Aim(at_least=8), 0.5, False),
        (Aim(at_least=4), 1.0, True),
        (Aim(at_most=5), 0.8, True),
        (Aim(at_most=2), 2.0, False),
        (Aim(at_least=0.9, of="bare"), 0.8 / 0.9, False),
        (Aim(at_least=0.4, of="bare"), 2.0, True),
    ],
)
def test_an_aim_is_met_or_not(aim: Aim, share: float, met: bool) -> None:
    """The figure is the median, 4, or its ratio to the other column, 0.8."""
    judged = judge(measure(aim, natlb=(3, 4, 5), bare=(3.75, 5, 6.25)))
    assert judged is not None

    assert judged.share == pytest.approx(share)
    assert judged.met is met


def test_the_document_is_plain_json_with_the_aims_judged() -> None:
    """What is written can be read by anything."""
    results = Results(
        machine={"kernel": "Linux"},
        settings=Settings(),
        measures=(measure(Aim(at_least=1), natlb=(2.0,)),),
        left_out={"haproxy": "not installed"},
    )
    document = json.loads(json.dumps(results.document()))

    assert document["measures"][0]["figures"] == {"natlb": [2.0]}
    assert document["aims"][0]["met"] is True
    assert document["left_out"] == {"haproxy": "not installed"}
