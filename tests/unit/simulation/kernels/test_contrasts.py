from __future__ import annotations

from typing import Any

import pytest

from natlb.control.config import PolicyConfig
from natlb.core.choice import pool_of
from natlb.core.policy import NewFlow
from natlb.core.policy.pool import NO_BACKEND_INDEX
from natlb.simulation.contenders import invented
from natlb.simulation.kernels import contrasts
from natlb.simulation.stage import Stage

PICKS = [contrasts.pick_modulo, contrasts.pick_first_on_ties, contrasts.pick_ipvs_sed]


def pool(weights: tuple[int, ...], **loads: list[int]) -> Any:
    """Return the pool of backends with these weights and counts."""
    stage = Stage(invented(weights, 1), PolicyConfig(name="source-hash"), 10)
    for name, counts in loads.items():
        stage.core.counters.backends[name][: len(counts)] = counts
    counted = stage.core.counters.backends
    stage.core.counters.loads[:] = counted["current"] - counted["closing"]
    return pool_of(stage.core)


def flow(spread_hash: int = 0) -> NewFlow:
    """Return a flow with this hash."""
    return NewFlow(spread_hash, 0, 0, 0, 0, 0, 0, 0)


def test_modulo_takes_the_hash_modulo_the_pool() -> None:
    """So one backend less changes nearly all."""
    picked = [contrasts.pick_modulo(pool((1, 1, 1)), 0, flow(each)) for each in range(6)]

    assert picked == [0, 1, 2, 0, 1, 2]


def test_of_equal_loads_the_first_is_taken() -> None:
    """That is what it is shown for."""
    idle = pool((1, 1, 1))
    busy = pool((1, 1, 1), current=[2, 1, 1])

    assert contrasts.pick_first_on_ties(idle, 0, flow()) == 0
    assert contrasts.pick_first_on_ties(busy, 0, flow()) == 1


def test_ipvs_sees_no_flow_whose_handshake_is_under_way() -> None:
    """A hundred of them on the first change nothing; an established one does."""
    burst = pool((1, 1), current=[100, 0], opening=[100, 0])
    settled = pool((1, 1), current=[1, 0])

    assert contrasts.pick_ipvs_sed(burst, 0, flow()) == 0
    assert contrasts.pick_ipvs_sed(settled, 0, flow()) == 1


def test_ipvs_weighs_by_established_flows_and_one() -> None:
    """(active + 1) / weight: 3/4 is less than 1/1."""
    assert contrasts.pick_ipvs_sed(pool((1, 4), current=[0, 2]), 0, flow()) == 1


@pytest.mark.parametrize("pick", PICKS)
def test_an_empty_pool_gives_nobody(pick) -> None:
    """No division by zero."""
    some = pool((1, 1))
    services = some.services.copy()
    services["pool_size"] = 0

    assert pick(some._replace(services=services), 0, flow(7)) == NO_BACKEND_INDEX
