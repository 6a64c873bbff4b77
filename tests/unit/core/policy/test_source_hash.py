from __future__ import annotations

from typing import Any

import pytest

from natlb.core.policy.source_hash import pick_source_hash
from natlb.testing import packets
from tests.datapath import VIP, engine, one_service
from tests.kernels import why_not_one_by_one
from tests.unit.core.policy.pools import FIRST, flow_of, pool_of

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())
POOL = [f"10.9.0.{number}:80" for number in range(11, 16)]
CLIENTS = [f"198.51.{number >> 8}.{number & 255}" for number in range(1, 1201)]


@one_by_one
def test_the_hash_alone_decides() -> None:
    """The ring is read and nothing else: neither turn nor draw."""
    pool = pool_of([1, 1, 1], "source-hash", indexes=[4, 2, 9])
    ring = pool.rings[pool.choices[0]["ring_start"] :]

    for spread in (0, 1, 2, 3, 0xFFFFFFFF):
        flows = [flow_of(spread, draw=draw) for draw in range(3)]
        assert [pick_source_hash(pool, 0, flow) for flow in flows] == [ring[spread % 4096]] * 3
    assert not pool.own.any()


@one_by_one
def test_who_is_full_sends_its_clients_on() -> None:
    """To the owner of a slot behind; and where most are full, to whoever has room."""
    pool = pool_of([1, 1, 1], "source-hash", most=[1, 1, 1], loads=[1, 1, 0])
    flows = [flow_of(spread, draw=3) for spread in range(0, 4096, 7)]

    assert {pick_source_hash(pool, 0, flow) - FIRST for flow in flows} == {2}
    assert pick_source_hash(pool_of([1], "source-hash", most=[1], loads=[1]), 0, flows[0]) == -1


def spread(backends: list[str], heavy: str = "", **options: Any) -> dict[str, str]:
    """Return which backend each client gets; a heavy one weighs two."""
    services = one_service(policy="source-hash", backends=backends)
    path = engine(services, max_flows=4000, **options)
    if heavy:
        path.set_backend(f"web/{heavy}", weight=2)
    batch = [packets.tcp(f"{client}:1000", f"{VIP}:80") for client in CLIENTS]
    sent = [result.packets[0] for result in path.process_batch(batch, 0.0)]
    return dict(zip(CLIENTS, (packets.read(packet).destination for packet in sent), strict=True))


def test_a_client_stays_with_its_backend() -> None:
    """Whatever port it calls from, and whatever order the pool is written in."""
    services = one_service(policy="source-hash", backends=POOL)
    path = engine(services)
    for port in range(1000, 1020):
        path.process(packets.tcp(f"198.51.100.7:{port}", f"{VIP}:80"), 0.0)

    assert len({flow.backend for flow in path.flows()}) == 1
    assert spread(POOL) == spread(POOL[::-1])


def test_clients_are_spread_by_weight() -> None:
    """A fifth each, give or take; twice the weight, twice the clients."""
    got = list(spread(POOL).values())
    assert all(0.8 * 240 < got.count(name) < 1.2 * 240 for name in POOL)
    got = list(spread(POOL, heavy=POOL[0]).values())

    assert 0.85 * 400 < got.count(POOL[0]) < 1.15 * 400


def test_a_backend_that_leaves_moves_its_own_clients_alone() -> None:
    """Exactly those: rendezvous disturbs no other slot."""
    before, after = spread(POOL), spread(POOL[:-1])
    moved = {client for client in CLIENTS if before[client] != after[client]}

    assert moved == {client for client in CLIENTS if before[client] == POOL[-1]}


def test_a_backend_that_comes_takes_its_share_and_moves_nobody_else() -> None:
    """Who moves, moves to it."""
    before, after = spread(POOL[:-1]), spread(POOL)
    moved = {client for client in CLIENTS if before[client] != after[client]}

    assert {after[client] for client in moved} == {POOL[-1]}
    assert 0.8 * 240 < len(moved) < 1.2 * 240


def test_the_seed_decides_who_gets_whom() -> None:
    """Nodes with one seed agree, another seed spreads otherwise."""
    assert spread(POOL, seed=5) == spread(POOL, seed=5)
    other = spread(POOL, seed=6)
    same = sum(other[client] == backend for client, backend in spread(POOL, seed=5).items())

    assert same < 0.3 * len(CLIENTS)
