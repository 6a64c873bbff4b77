"""What a pick costs: every policy over pools of several sizes, called as the pipeline calls it.

Loads differ by one at the most, so that half of a pool is equal: the usual state, and the dearest.
The runs of all policies take turns, so that what else the machine does meets each alike.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from bench.core_driver import pick_often
from bench.results import OURS, Aim, Measure, MeasureError
from natlb.control.compile import Indices, Sides, compile_tables
from natlb.control.config import config_from_mapping
from natlb.core.assembly import assemble
from natlb.core.batch import make_batch
from natlb.core.entry import pick_type
from natlb.core.memory import SECRET_BYTES, Kind, flow_items, make, start_flows
from natlb.core.policy import POLICY_NAMES, pick
from natlb.jit import COMPILED, compile_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.results import Session
    from natlb.core.state import Core

PART = "policies"
SIZES = (2, 10, 100)
LARGE = {"least-connections": 1000}
AIMS = {100: Aim(at_most=300), 1000: Aim(at_most=2000)}  # nanoseconds
PICKS = 20_000  # in one turn: what a call from Python costs is shared by so many
TURNS = 15  # of each policy, for one figure
FLOWS = 50  # that each backend has, or one more
NOTE = (
    "policies: half of each pool has 50 flows a backend, the other half 51; the policies take "
    "turns, and a figure is the median of 15 of its turns"
)


def run(session: Session) -> Iterator[Measure]:
    """Measure every policy over every size of pool."""
    if not COMPILED:
        raise MeasureError("NATLB_JIT=0: an interpreted policy is not to be measured")
    session.notes.append(NOTE)
    session.say("compiling the policies, where that was not done before")
    cases = [(name, size) for name in POLICY_NAMES for size in sizes_of(name)]
    core, services = core_of(cases)
    compile_for(pick_often, core, 0, 1, pick_type(core))
    for size in sorted({size for _, size in cases}):
        names = [name for name, its_size in cases if its_size == size]
        session.say(f"{size} backends")
        numbers = [services[service_name(name, size)] for name in names]
        rounds = [picks(core, numbers) for _ in range(session.settings.repetitions)]
        for at, name in enumerate(names):
            figures = tuple(taken[at] for taken in rounds)
            yield Measure(
                part=PART,
                name=f"pick of {size:,}: {name}",
                unit="ns a flow",
                figures={OURS: figures},
                aim=AIMS.get(size),
            )


def sizes_of(policy: str) -> tuple[int, ...]:
    """Return the sizes of pools that a policy is measured with."""
    return (*SIZES, LARGE[policy]) if policy in LARGE else SIZES


def service_name(policy: str, size: int) -> str:
    """Return what the service with this policy and pool is called."""
    return f"{policy}-{size}"


def core_of(cases: list[tuple[str, int]]) -> tuple[Core, Mapping[str, int]]:
    """Return a core that has a service for each case, and the services' indexes."""
    services = {
        service_name(policy, size): {
            "listen": f"tcp://203.0.113.10:{1000 + port}",
            "policy": policy,
            "backends": [f"10.{port}.{at >> 8}.{at & 255}:80" for at in range(1, size + 1)],
        }
        for port, (policy, size) in enumerate(cases)
    }
    config = config_from_mapping({"services": services})
    indices = Indices().assign(config, set(), set())
    tables = compile_tables(
        config, indices=indices, run_time={}, sides=Sides(), seed=1, generation=1
    )
    flows = make(Kind.FLOWS, **flow_items(1024))
    start_flows(flows, 1024, bytes(SECRET_BYTES), 0)
    core = assemble(tables, flows, make(Kind.COUNTERS), make_batch(64))
    random = np.random.default_rng(1)
    loads = core.counters.loads
    loads[:] = FLOWS + random.integers(0, 2, loads.size)
    for policy, size in cases:
        number = indices.services[service_name(policy, size)]
        start = tables.services[number]["pool_start"]
        held = loads[tables.rings[start : start + size]].sum()
        core.counters.services[number]["current"] = held
    core.counters.notes["handshake_us"] = random.integers(100, 1000, core.counters.notes.size)
    return core, indices.services


def picks(core: Core, services: list[int]) -> list[float]:
    """Return how many nanoseconds each of some policies takes for a flow."""
    taken: list[list[float]] = [[] for _ in services]
    for _ in range(TURNS):
        for service, figures in zip(services, taken, strict=True):
            began = time.perf_counter_ns()
            pick_often(core, service, PICKS, pick)
            figures.append((time.perf_counter_ns() - began) / PICKS)
    return [median(figures) for figures in taken]
