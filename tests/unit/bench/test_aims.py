"""The table of aims, and how they are judged."""

from __future__ import annotations

import pytest

from natlb.bench.aims import AIMS, PATHS, Aim, Judgement, judge
from natlb.bench.loads import LOADS
from natlb.bench.results import Column, Figure, Line, Measure, Results, Settings

LINE = Line(key="udp-8", name="packets", unit="k/s")


def results(**figures: tuple[float, ...]) -> Results:
    """Return a run of one line."""
    return Results(
        machine={},
        settings=Settings(),
        columns=tuple(Column(name=name, about="") for name in figures),
        measures=(Measure(line=LINE, figures=dict(figures)),),
    )


def judged(aim: Aim, value: float | None) -> Judgement:
    """Return what becomes of an aim where this was reached."""
    found = None if value is None else Figure(median=value, least=value, most=value, count=1)
    return Judgement(aim=aim, name="", figure=found)


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [
        (Aim(line="a", path="xdp", of="nft", at_least=1.8), 1.8, True),
        (Aim(line="a", path="xdp", of="nft", at_least=1.8), 1.79, False),
        (Aim(line="a", path="xdp", of="nft", at_most=0.6), 0.6, True),
        (Aim(line="a", path="xdp", of="nft", at_most=0.6), 0.61, False),
        (Aim(line="a", path="xdp", of="nft"), 5.0, None),
        (Aim(line="a", path="xdp", of="nft", at_least=1.8), None, None),
    ],
)
def test_an_aim_is_met_missed_or_neither(aim: Aim, value: float | None, met: bool | None) -> None:
    """Without a bound it is told alone; what was not measured is neither."""
    assert judged(aim, value).met is met


def test_aims_are_about_lines_that_there_are() -> None:
    """A load that is renamed takes its aims along."""
    lines = {line.key for load in LOADS for line in load.lines}

    assert {aim.line for aim in AIMS} <= lines
    assert {aim.path for aim in AIMS} == set(PATHS)


def test_the_limit_of_a_path_is_its_own_bare_forwarder() -> None:
    """The same reads and writes, not another's."""
    bare = [aim for aim in AIMS if aim.of.startswith("bare-")]

    assert bare
    assert all(aim.of == f"bare-{aim.path}" for aim in bare)


def test_aims_of_loads_that_were_not_taken_are_not_told() -> None:
    """Those of columns that are missing are: as not measured."""
    found = list(judge(results(nft=(100.0, 100.0), packet=(130.0, 120.0))))
    by_path = {(each.aim.path, each.aim.of): each for each in found}

    assert {each.aim.line for each in found} == {"udp-8"}
    assert by_path["packet", "nft"].met is True
    assert by_path["xdp", "nft"].figure is None
