from __future__ import annotations

from typing import Any

import pytest

from natlb.control.config.values import Affinity, PolicyConfig
from natlb.core.choice import choose, new_flow
from natlb.core.hashing import spread_hash
from natlb.core.layout import (
    CHOICE,
    FIRST_PROGRAM,
    KEY_DESTINATION,
    KEY_DESTINATION_PORT,
    KEY_SOURCE,
    KEY_SOURCE_PORT,
    WORD_COMPARED,
    WORD_DIFFERED,
)
from natlb.core.policy import pick
from natlb.core.policy.pool import own_word
from natlb.core.tables import SEED0, SEED1
from natlb.engine import DropReason
from natlb.testing import packets
from natlb.wire.reasons import BACKEND_LIMIT, NO_BACKEND
from natlb.wire.rewrite import destination_lanes, source_lanes
from tests.datapath import B1, B2, B3, CLIENT, VIP, backend_of, change_service, engine, one_service
from tests.kernels import needs_plain_kernels, parsed_of

needs_plain_kernels()


def core_with(packet: bytes, **changes: int) -> Any:
    """Return the core of an engine whose batch holds a packet, with fields of a choice changed."""
    core = engine(one_service(backends=[f"{B1}:80"]), seed=1 << 32 | 7)._core
    core.batch.parsed[0] = parsed_of(packet)
    choices = core.tables.choices.copy()
    for name, value in changes.items():
        assert name in (CHOICE.names or ())
        choices[0][name] = value
    return core._replace(tables=core.tables._replace(choices=choices))


@pytest.mark.parametrize(
    ("key", "port"),
    [(KEY_SOURCE, None), (KEY_SOURCE_PORT, 4000), (KEY_DESTINATION, None),
     (KEY_DESTINATION_PORT, 80)],
)  # fmt: skip
def test_the_hash_is_of_what_the_choice_says(key: int, port: int | None) -> None:
    """The client's address or the one called, with its port or without."""
    core = core_with(packets.tcp(f"{CLIENT}:4000", f"{VIP}:80"), key=key)
    parsed = core.batch.parsed[0]
    lanes = source_lanes(parsed) if key < KEY_DESTINATION else destination_lanes(parsed)
    flow = new_flow(core, 0, parsed, 5)
    seed = core.tables.numbers[SEED0], core.tables.numbers[SEED1]

    assert flow.spread_hash == spread_hash(*seed, lanes, -1 if port is None else port)
    assert (flow.draw, flow.port) == (5, 4000)
    client = flow.client0, flow.client1, flow.client2, flow.client3
    assert client == tuple(source_lanes(parsed))


def test_a_pool_without_room_is_another_thing_than_none() -> None:
    """The one is a limit, the other nobody to serve."""
    core = core_with(packets.tcp(f"{CLIENT}:4000", f"{VIP}:80"))
    assert choose(core, 0, 0, 0, pick) == 0

    backends, services = core.tables.backends.copy(), core.tables.services.copy()
    backends[0]["max_flows"] = 1
    core.counters.loads[0] = 1
    full = core._replace(tables=core.tables._replace(backends=backends))
    assert choose(full, 0, 0, 0, pick) == -BACKEND_LIMIT
    services[0]["pool_size"] = 0
    empty = core._replace(tables=core.tables._replace(services=services))
    assert choose(empty, 0, 0, 0, pick) == -NO_BACKEND


def spread_of(path: Any, flows: int = 40) -> list[str]:
    """Return which backend each of these clients' flows got."""
    return [backend_of(path, f"198.51.100.{host}:4000") for host in range(flows)]


def shadowed(policy: str, shadow: str, **changes: Any) -> Any:
    """Return an engine whose one service has a policy and a shadow."""
    path = engine(one_service(backends=[f"{B1}:80", f"{B2}:80", f"{B3}:80"], policy=policy))
    change_service(path, shadow=PolicyConfig(name=shadow), **changes)
    return path


def test_a_shadow_is_counted_and_nothing_else() -> None:
    """What it would have given whom, and how often that was another one."""
    alone = engine(one_service(backends=[f"{B1}:80", f"{B2}:80", f"{B3}:80"], policy="source-hash"))
    path = shadowed("round-robin", "source-hash")
    would, got = spread_of(alone), spread_of(path)
    words = path._counters.policy[own_word(1, 0) : own_word(2, 0)]

    assert got == [f"{B1}:80", f"{B2}:80", f"{B3}:80"] * 13 + [f"{B1}:80"]
    assert words[WORD_COMPARED] == 40
    assert words[WORD_DIFFERED] == sum(one != other for one, other in zip(would, got, strict=True))
    shadows = path._counters.notes["shadow"][:3].tolist()
    assert shadows == [would.count(f"{backend}:80") for backend in (B1, B2, B3)]
    assert path._counters.notes["compared"][:3].tolist() == [14, 13, 13]
    assert not path._counters.policy[: own_word(1, 0)][WORD_COMPARED:].any()


def test_a_shadow_of_the_same_policy_never_differs() -> None:
    """It has its own turn, and the same draw."""
    path = shadowed("round-robin", "round-robin")
    spread_of(path)

    assert path._counters.policy[own_word(1, WORD_COMPARED)] == 40
    assert path._counters.policy[own_word(1, WORD_DIFFERED)] == 0


def test_what_affinity_gave_is_not_compared() -> None:
    """The policy did not choose it."""
    path = shadowed("round-robin", "source-hash", affinity=Affinity())
    spread_of(path)
    spread_of(path)  # the same flows
    for port in range(5):
        backend_of(path, f"198.51.100.1:{port + 1}")

    assert path.stats().flows.opened == 45
    assert path._counters.policy[own_word(1, WORD_COMPARED)] == 40


def test_a_flow_that_gets_nobody_is_not_compared() -> None:
    """Neither policy has anyone."""
    path = shadowed("round-robin", "source-hash")
    for backend in (B1, B2, B3):
        path.set_backend(f"web/{backend}:80", weight=0)
    refused = path.process(packets.tcp(f"{CLIENT}:4000", f"{VIP}:80"), 0.0)

    assert refused.reason is DropReason.NO_BACKEND
    assert path._counters.policy[own_word(1, WORD_COMPARED)] == 0


def test_a_shadow_that_says_nobody_has_differed() -> None:
    """None of the policies does where another found somebody; one of a user's own might."""
    path = shadowed("round-robin", "source-hash")
    choices = path._core.tables.choices.copy()
    choices[1]["policy"] = FIRST_PROGRAM - 1
    path._core = path._core._replace(tables=path._core.tables._replace(choices=choices))
    spread_of(path, 4)

    assert path._counters.policy[own_word(1, WORD_DIFFERED)] == 4
    assert not path._counters.notes["shadow"].any()
