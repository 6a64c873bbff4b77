from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from natlb.core.layout import META, WORKER, WORKERS
from natlb.core.steering import (
    first_own_port,
    share_of,
    steering_hash,
    worker_of,
    worker_of_port,
)
from tests.bpf_packets import lanes_of
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

needs_plain_kernels()

WORD = 0xFFFFFFFF


def by_the_book(lanes: Sequence[int]) -> int:
    """Return the hash as the docstring has it, in Python's unbounded integers."""
    h = 0
    for lane in lanes:
        h = (h * 0x1E35A7BD + lane) % 2**32
    for _ in range(2):
        h = (h ^ h >> 16) * 0x045D9F3B % 2**32
    return h ^ h >> 16


def test_the_hash_is_the_one_that_is_written_down() -> None:
    """Programs of others compute it too."""
    for _ in range(2000):
        first = random.choice((0, WORD, random.getrandbits(32)))
        lanes = first, random.getrandbits(32), random.getrandbits(32), random.getrandbits(32)

        assert steering_hash(lanes) == by_the_book(lanes)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (IPv4Address("198.51.100.2"), 0x5B15ACAE),
        (IPv6Address("2001:db8:1::2"), 0x61C8BFC5),
    ],
)
def test_the_hash_stays_what_it_was(address: IPv4Address | IPv6Address, expected: int) -> None:
    """A worker that was replaced by one of a later version keeps its flows."""
    assert steering_hash(lanes_of(address)) == expected


@pytest.mark.parametrize("workers", [2, 3, 4, 7, 8, 16])
@pytest.mark.parametrize(
    ("first", "step"),
    [
        (IPv4Address("10.0.0.0"), 1),
        (IPv4Address("10.0.0.0"), 256),
        (IPv4Address("10.0.0.0"), 2048),
        (IPv6Address("2001:db8::"), 1),
        (IPv6Address("2001:db8::"), 1 << 64),
        (IPv6Address("2001:db8::"), 1 << 96),
    ],
)
def test_neighbours_are_spread(workers: int, first: IPv4Address | IPv6Address, step: int) -> None:
    """Clients come in rows: a subnet, one host in each subnet, one network in each /64."""
    count = 4096
    workers_of_row = Counter(
        worker_of(lanes_of(first + step * number), workers) for number in range(count)
    )

    assert set(workers_of_row) == set(range(workers))
    assert max(workers_of_row.values()) < 1.2 * count / workers


def test_ports_are_dealt_round() -> None:
    """Each worker has its share of a source address's ports, to within one."""
    shares = Counter(worker_of_port(port, 3) for port in range(1024, 65536))

    assert sorted(shares) == [0, 1, 2]
    assert max(shares.values()) - min(shares.values()) <= 1


def meta_of(worker: int, workers: int) -> Any:
    """Return the numbers of a worker's table, as far as steering goes."""
    meta = np.zeros(len(META), np.int64)
    meta[WORKER], meta[WORKERS] = worker, workers
    return meta


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
@pytest.mark.parametrize("least", [1, 1024, 1025])
def test_a_workers_own_ports_are_those_that_come_home(workers: int, least: int) -> None:
    """The first of them is the next from any port on."""
    for worker in range(workers):
        first = first_own_port(meta_of(worker, workers), least)
        assert worker_of_port(first, workers) == worker
        assert least <= first < least + workers


@pytest.mark.parametrize(("workers", "share"), [(0, 100), (1, 100), (3, 34), (64, 2), (1000, 1)])
def test_a_share_is_rounded_up(workers: int, share: int) -> None:
    """So that none is left without; a table that says nothing is the only one."""
    assert share_of(meta_of(0, workers), 100) == share
    assert share_of(meta_of(0, workers), 0) == 0
