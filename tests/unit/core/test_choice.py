from __future__ import annotations

from typing import Any

import pytest

from natlb.core.choice import choose, new_flow
from natlb.core.hashing import spread_hash
from natlb.core.layout import (
    CHOICE,
    KEY_DESTINATION,
    KEY_DESTINATION_PORT,
    KEY_SOURCE,
    KEY_SOURCE_PORT,
)
from natlb.core.policy import pick
from natlb.core.tables import SEED0, SEED1
from natlb.testing import packets
from natlb.wire.reasons import BACKEND_LIMIT, NO_BACKEND
from natlb.wire.rewrite import destination_lanes, source_lanes
from tests.datapath import B1, CLIENT, VIP, engine, one_service
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
    core.counters.backends[0]["current"] = 1
    full = core._replace(tables=core.tables._replace(backends=backends))
    assert choose(full, 0, 0, 0, pick) == -BACKEND_LIMIT
    services[0]["pool_size"] = 0
    empty = core._replace(tables=core.tables._replace(services=services))
    assert choose(empty, 0, 0, 0, pick) == -NO_BACKEND
