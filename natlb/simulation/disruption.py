"""Who is given another backend where the pool changes: many clients asked before and after.

Only of a policy that goes by the client is that a question. It is told by asking twice, the second
time in the reverse order and with other draws: whoever gives a client another answer then, or all
clients one, does not go by the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.simulation.forms import MOST_CLIENTS
from natlb.simulation.kernels.probe import ask_for_all
from natlb.simulation.workload import FIRST_CLIENT

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core
    from natlb.simulation.forms import Integers
    from natlb.simulation.stage import Stage

CLIENTS = 20_000
STEADY = 0.999  # of clients that must be given the same answer twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """What a change of the pool did to clients, as shares of those asked.

    `necessary` are those whose backend left, or who were given one that came or gained weight;
    `changed` are all who are given another than before. None: the policy goes by no client.
    """

    at_seconds: float
    change: str
    leaves: bool
    necessary: float | None
    changed: float | None


class Poll:
    """The clients that are asked, the same ones each time."""

    def __init__(self, stage: Stage, seed: int, pick: Pick) -> None:
        """Choose CLIENTS of all there could be."""
        chance = np.random.default_rng([seed, 9])
        self._stage, self._pick = stage, pick
        self._clients = FIRST_CLIENT + chance.choice(MOST_CLIENTS, CLIENTS, replace=False)
        self._draws = chance.integers(0, 1 << 31, CLIENTS)

    def ask(self) -> Integers | None:
        """Return each client's backend, or None where the policy does not go by the client."""
        first = self._answers(self._clients, self._draws)
        second = self._answers(self._clients[::-1].copy(), self._draws)[::-1]
        if np.mean(first == second) < STEADY:
            return None
        one_for_all = np.unique(first).size == 1 and self._pool_size() > 1
        return None if one_for_all else first

    def _pool_size(self) -> int:
        core = self._stage.core
        return int(core.tables.services[self._stage.service]["pool_size"])

    def _answers(self, clients: Integers, draws: Integers) -> Integers:
        """Return what clients are answered, one after the other; nothing is changed by asking."""
        core = self._stage.core
        kept = _kept(core)
        answers = np.zeros(clients.size, np.int64)
        ask_for_all(core, self._stage.service, clients, draws, answers, self._pick)
        for array, copy in kept:
            array[:] = copy
        return answers


def _kept(core: Core) -> list[tuple[Any, Any]]:
    """Return what policies and affinity keep for themselves, each with a copy of it."""
    counters = core.counters
    kept: tuple[Any, ...] = counters.notes, counters.policy, counters.programs, counters.affinities
    return [(array, array.copy()) for array in kept]


def share_moved(
    before: Integers | None, after: Integers | None, backend: int
) -> tuple[float | None, float | None]:
    """Return the shares of clients that had to change backend when this one changed, and that did.

    Had to: it was theirs before, or is now, but not both.
    """
    if before is None or after is None:
        return None, None
    necessary = (before == backend) != (after == backend)
    return float(np.mean(necessary)), float(np.mean(before != after))
