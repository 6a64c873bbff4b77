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
from natlb.simulation.workload import FIRST_CLIENT, FIRST_PORT, PORTS

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
    """The clients that are asked, the same ones each time and with the same draws."""

    def __init__(self, stage: Stage, seed: int, pick: Pick) -> None:
        """Choose CLIENTS of all there could be, each with a port."""
        chance = np.random.default_rng([seed, 9])
        self._stage, self._pick = stage, pick
        self._clients = FIRST_CLIENT + chance.choice(MOST_CLIENTS, CLIENTS, replace=False)
        self._ports = chance.integers(FIRST_PORT, FIRST_PORT + PORTS, CLIENTS)
        self._draws, self._others = chance.integers(0, 1 << 31, (2, CLIENTS))
        self._goes_by_client: bool | None = None

    def ask(self) -> Integers | None:
        """Return each client's backend, or None where the policy does not go by the client.

        Whether it does is found when it is asked first, and holds from then on: in slow start some
        clients are given another backend with another draw, whatever the policy goes by.
        """
        if self._goes_by_client is None:
            self._goes_by_client = self._is_steady()
        in_order = np.arange(self._clients.size)
        return self._answers(in_order, self._draws) if self._goes_by_client else None

    def _is_steady(self) -> bool:
        """Return whether clients are given the same in another order with other draws."""
        in_order = np.arange(self._clients.size)
        first = self._answers(in_order, self._draws)
        second = self._answers(in_order[::-1], self._others)[::-1]
        core = self._stage.core
        is_choice = core.tables.services[self._stage.service]["pool_size"] > 1
        one_for_all = bool(is_choice) and np.unique(first).size == 1
        return bool(np.mean(first == second) >= STEADY) and not one_for_all

    def _answers(self, order: Integers, draws: Integers) -> Integers:
        """Return what clients are answered in this order; nothing is changed by asking."""
        core = self._stage.core
        kept = _kept(core)
        answers = np.zeros(order.size, np.int64)
        clients, ports = self._clients[order], self._ports[order]
        ask_for_all(core, self._stage.service, clients, ports, draws, answers, self._pick)
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
