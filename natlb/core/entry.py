"""The kernels that are called from Python, compiled for the one set of types they are called with.

A function passed where a function type is expected converts only when the kernel may not be
compiled for it instead, so every caller prepares first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.choice import pool_of
from natlb.core.commands import step_command
from natlb.core.flow_recovery import recover
from natlb.core.housekeeping import keep_house
from natlb.core.intake import take_in
from natlb.core.pipeline import give_up_packet, process_batch
from natlb.core.policy import NewFlow, pick
from natlb.core.policy.program import begin_pick, conclude_pick
from natlb.core.sources import count_all_sources
from natlb.core.state import TTL_ROUTE, Core
from natlb.jit import COMPILED, compile_for, function_type

if TYPE_CHECKING:
    from natlb.core.commands import Commands


def pick_type(core: Core) -> Any:
    """Return the type that every policy's `pick()` has as an argument; None when interpreted."""
    if COMPILED:  # pragma: no cover - coverage is measured where nothing is compiled
        flow = NewFlow(0, 0, 0, 0, 0, 0, 0, 0)
        compile_for(begin_pick, pool_of(core), 0, flow, 0)
        compile_for(conclude_pick, pool_of(core), 0, flow)
        return function_type(pick, pool_of(core), 0, flow)
    return None


def prepare_engine(core: Core, commands: Commands) -> None:
    """Compile, or load from the cache, what an engine calls."""
    compile_for(process_batch, core, 0, TTL_ROUTE, pick_type(core))
    compile_for(give_up_packet, core)
    compile_for(take_in, core, 0, 0, 0, 0, 0)
    compile_for(keep_house, core, 0)
    compile_for(step_command, core, commands)


def prepare_takeover(core: Core) -> None:
    """Compile, or load from the cache, what a worker calls before its loop."""
    compile_for(recover, core.flows, core.counters)
    compile_for(count_all_sources, core.sources, core.flows)
    compile_for(give_up_packet, core)
