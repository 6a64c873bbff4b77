"""What tests of the simulation share: small arenas, runs and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from natlb.jit import COMPILED
from natlb.simulation.contenders import contender, invented
from natlb.simulation.kernels.world import Script, make_world
from natlb.simulation.run import Outcome, Scenario, run
from natlb.simulation.workload import draw_workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.simulation.stage import Arena
    from natlb.simulation.workload import Workload

needs_compiled = pytest.mark.skipif(not COMPILED, reason="so many flows need compiled code")


def workload(flows: int = 60, **forms: str) -> Workload:
    """Return flows, a hundred a second unless told otherwise."""
    usual = {
        "arrivals": "constant:100",
        "holding": "constant:0.1",
        "clients": "uniform:1000",
        "handshake": "constant:0.001",
    }
    return draw_workload(flows=flows, seed=1, **(usual | forms))


def played(
    words: str = "round-robin",
    *,
    weights: Sequence[int] = (1, 1, 1),
    arena: Arena | None = None,
    flows: Workload | None = None,
    **scenario: Any,
) -> Outcome:
    """Return what a policy makes of a few flows."""
    arena = arena or invented(weights, seed=1)
    given = Scenario(workload=flows or workload(), **scenario)
    return run(arena, contender(words, len(arena.names)), given)


def outcome(
    given: Sequence[int], samples: Sequence[Sequence[int]] = ((1, 1),), **changes: Any
) -> Outcome:
    """Return an outcome made by hand: a flow a second, each to the backend said."""
    loads = np.array(samples, np.int64)
    count, backends = len(given), loads.shape[1]
    nothing = np.zeros(count, np.int64)
    world = make_world(count, backends, np.arange(loads.shape[0]) * 1_000_000)
    world.backends[:] = given
    world.samples[:] = loads
    world.peaks[:] = loads.max(axis=0)
    script = Script(
        starts=np.arange(count) * 1_000_000,
        clients=nothing,
        ports=nothing,
        handshakes=nothing + 1_500_000,
        services=nothing,
        slowness=np.ones(backends),
        servers=0,
        service=0,
        is_tcp=1,
    )
    made: dict[str, Any] = {
        "words": "by hand",
        "names": [f"b{number + 1}" for number in range(backends)],
        "weights": [1] * backends,
        "world": world,
        "script": script,
        "serving": np.ones(loads.shape, np.bool_),
        "disruptions": [],
    }
    return Outcome(**(made | changes))
