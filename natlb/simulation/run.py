"""A policy over a workload, on a core of its own: the same flows, times and changes for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from natlb.control.config import PolicyConfig
from natlb.core.entry import pick_type
from natlb.jit import compile_for
from natlb.simulation.changes import refuse_strangers
from natlb.simulation.disruption import Disruption, Poll, share_moved
from natlb.simulation.kernels.contrasts import (
    pick_first_on_ties,
    pick_ipvs_sed,
    pick_modulo,
)
from natlb.simulation.kernels.driver import drive
from natlb.simulation.kernels.probe import ask_for_all
from natlb.simulation.kernels.world import NEVER, NOBODY, Script, World, make_world
from natlb.simulation.stage import Stage
from natlb.simulation.workload import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from natlb.core.choice import Pick
    from natlb.simulation.changes import Change
    from natlb.simulation.stage import Arena
    from natlb.simulation.workload import Workload

SAMPLES = 1000
CONTRASTS: dict[str, Pick] = {
    "contrast-modulo": pick_modulo,
    "contrast-first-on-ties": pick_first_on_ties,
    "contrast-ipvs-sed": pick_ipvs_sed,
}
ASKED_BY_ADDRESS = PolicyConfig(name="source-hash")  # what contrasts are given of a flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A policy by the words it was asked for with, or one of CONTRASTS."""

    words: str
    policy: PolicyConfig = ASKED_BY_ADDRESS

    def pick_on(self, stage: Stage) -> Pick:
        """Return what chooses: natlb's own policies, a program, or a contrast."""
        return CONTRASTS.get(self.words, stage.pick)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What all contenders go through. `servers` 0: a backend serves all its flows at once."""

    workload: Workload
    changes: Sequence[Change] = ()
    slowness: Mapping[str, float] = field(default_factory=dict)
    servers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run; `serving` says of each sample which backends took new flows then."""

    words: str
    names: list[str]
    weights: list[int]
    world: World
    script: Script
    serving: NDArray[np.bool_]
    disruptions: list[Disruption]


def run(arena: Arena, contender: Contender, scenario: Scenario) -> Outcome:
    """Return what becomes of the scenario's flows by a contender's policy."""
    refuse_strangers(arena.names, [*scenario.slowness, *(c.backend for c in scenario.changes)])
    stage = Stage(arena, contender.policy, scenario.workload.starts.size)
    script = _script(arena, scenario, stage.service)
    moments = np.linspace(0, scenario.workload.span_us, SAMPLES).astype(np.int64)
    world = make_world(script.starts.size, len(arena.names), moments)
    prepare(stage, script, world)
    show = Show(arena, stage, script, world, contender.pick_on(stage))
    for change in sorted(scenario.changes, key=lambda each: each.at_seconds):
        show.change(change)
    show.play(NEVER)
    return Outcome(
        words=contender.words,
        names=arena.names,
        weights=arena.weights,
        world=world,
        script=script,
        serving=show.serving,
        disruptions=show.disruptions,
    )


def prepare(stage: Stage, script: Script, world: World) -> None:
    """Compile the clock, or load it from the cache."""
    picks = pick_type(stage.core)
    compile_for(drive, stage.core, script, world, 0, NOBODY, picks)
    nothing = np.zeros(0, np.int64)
    compile_for(ask_for_all, stage.core, 0, nothing, nothing, nothing, nothing, picks)


def _script(arena: Arena, scenario: Scenario, service: int) -> Script:
    workload = scenario.workload
    return Script(
        starts=workload.starts,
        clients=workload.clients,
        ports=workload.ports,
        handshakes=workload.handshakes,
        services=workload.services,
        slowness=np.array([scenario.slowness.get(name, 1.0) for name in arena.names]),
        servers=scenario.servers,
        service=service,
        is_tcp=int(arena.is_tcp),
    )


class Show:
    """A run under way."""

    def __init__(
        self, arena: Arena, stage: Stage, script: Script, world: World, choose: Pick
    ) -> None:
        """Begin before the first flow."""
        self._stage, self._script, self._world, self._pick = stage, script, world, choose
        self._poll = Poll(stage, arena.seed, choose)
        self._failed = NOBODY
        self._sampled = 0
        self.serving = np.zeros((world.moments.size, world.peaks.size), np.bool_)
        self.disruptions: list[Disruption] = []

    def change(self, change: Change) -> None:
        """Let the clock run up to a change, and make it."""
        self.play(round(change.at_seconds * MICROSECONDS))
        before = self._poll.ask()
        self._failed = self._stage.apply(change)
        index = self._stage.index_of(change.backend)
        necessary, changed = share_moved(before, self._poll.ask(), index)
        self.disruptions.append(
            Disruption(
                at_seconds=change.at_seconds,
                change=str(change),
                leaves=change.kind in {"fail", "drain", "remove"},
                necessary=necessary,
                changed=changed,
            )
        )

    def play(self, until: int) -> None:
        """Let the clock run."""
        drive(self._stage.core, self._script, self._world, until, self._failed, self._pick)
        self._failed = NOBODY
        moments = np.searchsorted(self._world.moments, until, side="right")
        takes = self._stage.core.tables.backends["takes"] > 0
        self.serving[self._sampled : moments, : takes.size] = takes
        self._sampled = int(moments)
