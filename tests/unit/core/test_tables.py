from __future__ import annotations

import random
from typing import Any

import pytest

from natlb.control.compile.addresses import lanes_of
from natlb.core.layout import BACKEND_ADDRESS, UNUSED, VIP
from natlb.core.tables import (
    NO_SERVICE_INDEX,
    endpoint_slot,
    find_endpoint,
    find_service,
    kind_of_address,
)
from natlb.testing.packets import split_endpoint
from natlb.wire.fields import TCP, UDP
from tests import twin
from tests.datapath import B1, B1_6, CLIENT, VIP6, engine
from tests.datapath import VIP as VIP4
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def lanes(text: str) -> Any:
    """Return an address's lanes."""
    return lanes_of(split_endpoint(text)[0])


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (VIP4, VIP),
        (VIP6, VIP),
        (B1, BACKEND_ADDRESS),
        (B1_6, BACKEND_ADDRESS),
        (CLIENT, UNUSED),
        ("::", UNUSED),
        ("0.0.0.0", UNUSED),
    ],
)
def test_addresses_are_vips_backends_or_neither(address: str, kind: int) -> None:
    """By it forgeries are told, and what is natlb's to answer."""
    assert kind_of_address(engine()._core.tables, lanes(address)) == kind


def test_a_service_listens_on_its_address_port_and_protocol_alone() -> None:
    """Each of the three counts."""
    path = engine()
    tables, numbers = path._core.tables, path._indices.services

    assert find_service(tables, lanes(VIP4), 80, TCP) == numbers["web"]
    assert find_service(tables, lanes(VIP6), 53, UDP) == numbers["dns6"]
    for address, port, protocol in (
        (VIP4, 80, UDP),
        (VIP4, 81, TCP),
        (B1, 80, TCP),
        (B1, 8080, TCP),
        (VIP4, 0, 0),
        ("203.0.113.11", 80, TCP),
    ):
        assert find_service(tables, lanes(address), port, protocol) == NO_SERVICE_INDEX


def many() -> dict[str, Any]:
    """Return many services, crowded onto few addresses."""
    return {
        f"s{number}": {
            "listen": f"tcp://203.0.113.{number % 7 + 1}:{1000 + number}",
            "backends": [f"10.9.{number // 200}.{number % 200 + 1}:80"],
        }
        for number in range(300)
    }


def test_every_endpoint_is_found_in_a_table_at_most_half_full() -> None:
    """However they crowd: the search ends at an empty place, and there is one."""
    path = engine(many())
    tables = path._core.tables
    used = int((tables.endpoints["kind"] != UNUSED).sum())

    assert used == 300 + 7 + 2 * 300  # services, VIPs, and backends by address and by port
    assert 2 * used <= tables.endpoints.size
    for number in range(300):
        found = find_service(tables, lanes(f"203.0.113.{number % 7 + 1}"), 1000 + number, TCP)
        assert found == path._indices.services[f"s{number}"]
        assert kind_of_address(tables, lanes(f"10.9.{number // 200}.{number % 200 + 1}")) > 0


@pytest.mark.parametrize("lane", range(4))
def test_every_lane_of_an_address_counts(lane: int) -> None:
    """Two VIPs may differ in their prefix alone."""
    tables = engine()._core.tables
    other = list(lanes(VIP6))
    other[lane] ^= 1

    assert find_endpoint(tables, lanes(VIP6), 80, TCP) >= 0
    assert find_endpoint(tables, tuple(other), 80, TCP) == -1


def test_the_search_begins_where_its_twin_says() -> None:
    """Control writes the table by the same function that the worker reads it by."""
    for _ in range(200):
        key: Any = tuple(random.getrandbits(32) for _ in range(4))
        port, protocol = random.getrandbits(16), random.choice((TCP, UDP))
        hashed = twin.second_hash(port << 8 | protocol)
        for lane in key:
            hashed = twin.second_hash(hashed ^ lane)

        assert endpoint_slot(key, port, protocol, 1024) == hashed % 1024
