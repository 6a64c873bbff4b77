"""A pool of one service, as a policy sees it, and flows that ask it for a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from natlb.control.compile.tables import identity_of
from natlb.control.policy import COMPILERS, Member, Order
from natlb.core.elsewhere import nothing_elsewhere
from natlb.core.layout import BACKEND, CHOICE, POLICY_WORDS, SERVICE, WEIGHT_ONE
from natlb.core.memory import Kind, make
from natlb.core.policy import POLICY_NAMES, NewFlow, Pool
from natlb.core.policy.pool import make_scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from natlb.control.policy import Memory

FIRST = 4  # the index of a pool's first backend, where no others are asked for
CHOICE_OF_POOL = 0


def pool_of(
    weights: Sequence[int],
    policy: str = "round-robin",
    *,
    indexes: Sequence[int] | None = None,
    loads: Sequence[int] = (),
    most: Sequence[int] = (),
    seed: int = 1,
    parameters: Mapping[str, object] | None = None,
    names: Sequence[str] = (),
    memory: Memory | None = None,
) -> Pool:
    """Return a pool of backends of these weights, compiled for a policy; nothing was picked yet.

    `loads` are their flows, `most` how many they may have (0: any), both by place in the pool.
    `indexes` are FIRST and so on where none are given, `names` `b0` and so on. `memory` is what
    the policy answered for an earlier pool.
    """
    indexes = list(indexes if indexes is not None else range(FIRST, FIRST + len(weights)))
    names = names or [f"b{at}" for at in range(len(weights))]
    members = [Member(*each) for each in zip(indexes, names, weights, strict=True)]
    order = Order(members=members, seed=seed, parameters=parameters or {}, memory=memory or {})
    compiled = COMPILERS[policy](order)
    services, choices = np.zeros(1, SERVICE), np.zeros(2, CHOICE)
    services[0]["pool_start"], services[0]["pool_size"] = 2, len(indexes)
    choices[0]["policy"], choices[0]["key"] = POLICY_NAMES.index(policy), compiled.key
    choices[0]["ring_start"], choices[0]["ring_size"] = 3 + len(indexes), compiled.ring.size
    choices[0]["weights"] = sum(weights) * WEIGHT_ONE
    for number, parameter in enumerate(compiled.parameters):
        choices[0][f"parameter{number}"] = parameter
    # others' pools and rings lie around these
    rings = np.concatenate([[-5, -5, *indexes, -5], compiled.ring, [-5]]).astype(np.int32)
    backends = np.zeros(max(indexes, default=0) + 1, BACKEND)
    backends["weight"][indexes] = np.array(weights, np.uint32) * WEIGHT_ONE
    backends["per_weight"][indexes] = 1 / backends["weight"][indexes]
    backends["takes"][indexes] = 1
    backends["identity"][indexes] = [identity_of("web", name) for name in names]
    backends["max_flows"][indexes[: len(most)]] = most
    for array in (services, choices, rings):
        array.flags.writeable = False
    pool = empty_pool()._replace(services=services, choices=choices, rings=rings, backends=backends)
    for index, load in zip(indexes, loads, strict=False):
        give_load(pool, index, load)
    return pool


def empty_pool() -> Pool:
    """Return a pool of no services, with all counts at zero."""
    counters = make(Kind.COUNTERS)
    assert counters.policy.size % POLICY_WORDS == 0
    return Pool(
        np.zeros(1, SERVICE),
        np.zeros(2, CHOICE),
        np.zeros(1, np.int32),
        np.zeros(1, BACKEND),
        counters.backends,
        counters.loads,
        counters.services,
        counters.notes,
        counters.policy,
        counters.programs,
        nothing_elsewhere(),
        *make_scratch(),
    )


def give_load(pool: Pool, index: int, flows: int) -> None:
    """Let a backend have so many flows more, established ones."""
    pool.loads[index] += flows
    pool.total[0]["current"] += flows


def start_slowly(
    pool: Pool, index: int, *, began_ms: int, seconds: float, exponent: float = 1.0
) -> None:
    """Let a backend be in slow start since `began_ms`."""
    record = pool.backends[index]
    record["began_ms"], record["slow_start_ms"] = began_ms, round(1000 * seconds)
    record["slow_start_exponent"] = exponent


def flow_of(spread_hash: int = 0, draw: int = 0, now: int = 0, port: int = 40000) -> NewFlow:
    """Return a new flow of 198.51.100.2."""
    return NewFlow(spread_hash, draw, now, 0, 0, 0xFFFF, 0xC6336402, port)
