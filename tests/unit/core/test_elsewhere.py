"""Workers that hear what the others have to do."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.core.assembly import assemble
from natlb.core.batch import make_batch
from natlb.core.elsewhere import (
    OF_BACKENDS,
    PIECE,
    exchange_loads,
    next_piece,
    nothing_elsewhere,
)
from natlb.core.layout import MOST_BACKENDS, WORKER, WORKERS
from natlb.core.memory import Kind, load_items, make
from natlb.engine import DropReason, Engine
from natlb.testing import packets
from tests.datapath import B1, B2, SERVICES, VIP, backend_of, engine, established
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def workers(count: int = 2, **service: Any) -> list[Engine]:
    """Return so many engines over one memory of loads, and a service changed as said."""
    loads, made = make(Kind.LOADS, **load_items(count)), []
    for index in range(count):
        path = engine({"web": {**SERVICES["web"], **service}})
        core = path._core
        core.flows.meta[WORKER], core.flows.meta[WORKERS] = index, count
        parts = core.tables, core.flows, core.counters, make_batch(1, 256)
        path._core = assemble(*parts, core.events, loads)._replace(batch=core.batch)
        made.append(path)
    return made


def exchange(paths: list[Engine]) -> None:
    """Have all of them look."""
    for path in paths * 2:
        exchange_loads(path._core)


def test_who_has_less_of_all_workers_is_chosen() -> None:
    """A backend that another worker fills is not idle."""
    one, other = paths = workers(policy="least-connections")
    servers = [f"{B1}:8080", f"{B2}:8080"]
    first = established(one, "198.51.100.1:1000")
    servers.remove(first)
    exchange(paths)

    assert backend_of(other, "198.51.100.2:1000") == servers[0]


@pytest.mark.parametrize("policy", ["round-robin", "bounded-load", "least-connections"])
def test_a_backends_limit_is_that_of_all_workers(policy: str) -> None:
    """Passed by what is opened between two looks at the most."""
    backends = [{"address": f"{B1}:8080", "max_flows": 2}]
    one, other = paths = workers(policy=policy, backends=backends)
    established(one, "198.51.100.1:1000")
    established(other, "198.51.100.2:1000")
    exchange(paths)
    refused = one.process(packets.tcp("198.51.100.3:1000", f"{VIP}:80"), 0.0)

    assert refused.reason is DropReason.BACKEND_LIMIT


def test_a_services_limit_is_that_of_all_workers() -> None:
    """As a backend's."""
    one, other = paths = workers(max_flows=1)
    established(other, "198.51.100.2:1000")
    assert one._core.elsewhere.services[0] == 0
    exchange(paths)
    refused = one.process(packets.tcp("198.51.100.3:1000", f"{VIP}:80"), 0.0)

    assert one._core.elsewhere.services[0] == 1
    assert refused.reason is DropReason.SERVICE_LIMIT


def test_what_ends_is_not_counted_any_more() -> None:
    """Each worker writes its own row, and hears of three others."""
    paths = workers(3)
    for at, path in enumerate(paths):
        for number in range(at + 1):
            path.process(packets.tcp(f"198.51.100.{at}:{5000 + number}", f"{VIP}:80"), 0.0)
    exchange(paths)
    totals = [int(path._core.elsewhere.opening.sum()) for path in paths]
    assert totals == [5, 4, 3]
    for path in paths:
        path.tick(1000.0)
    exchange(paths)

    assert [int(path._core.elsewhere.backends.sum()) for path in paths] == [0, 0, 0]


def test_a_worker_alone_hears_of_nobody() -> None:
    """And looks at nothing."""
    path = engine()
    established(path, "198.51.100.1:1000")
    exchange_loads(path._core)

    assert not path._core.elsewhere.backends.any()
    assert not path._core.loads.backends.any()


def test_all_backends_are_looked_at_in_pieces() -> None:
    """However many there are, a look is bounded."""
    places = nothing_elsewhere().places
    seen = [next_piece(places, OF_BACKENDS, 2 * PIECE + 5) for _ in range(4)]

    assert seen == [
        (0, PIECE),
        (PIECE, 2 * PIECE),
        (2 * PIECE, 2 * PIECE + 5),
        (0, PIECE),
    ]
    assert MOST_BACKENDS % PIECE == 0
