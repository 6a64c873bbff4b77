from __future__ import annotations

import numpy as np

from natlb.core.layout import CURRENT
from natlb.core.policy import pick
from natlb.simulation import run as runs
from natlb.simulation.contenders import contender, invented
from natlb.simulation.kernels.probe import ask_for_all
from natlb.simulation.kernels.world import make_world
from natlb.simulation.run import Scenario, prepare
from natlb.simulation.stage import Stage
from tests.simulations import workload


def test_all_are_answered_and_no_flow_is_made() -> None:
    """Round robin: each in turn."""
    arena, scenario = invented([1, 1, 1], 1), Scenario(workload=workload(1))
    stage = Stage(arena, contender("round-robin", 3).policy, 10)
    prepare(stage, runs._script(arena, scenario, 0), make_world(1, 3, np.zeros(0, np.int64)))
    answers, seven = np.full(7, -9), np.arange(7)
    ask_for_all(stage.core, 0, seven, seven, seven, answers, pick)

    assert list(answers) == [0, 1, 2, 0, 1, 2, 0]
    assert stage.core.flows.meta[CURRENT] == 0
