from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.compile import Indices, Retired, Sides, WayOut
from natlb.control.compile.addresses import Address, lanes_of
from natlb.control.compile.endpoints import (
    _first_slots,
    addresses_of,
    endpoints_of,
    slots_for,
    store_endpoints,
)
from natlb.control.config import Config, config_from_mapping
from natlb.core.layout import (
    BACKEND_ADDRESS,
    BACKEND_ENDPOINT,
    ENDPOINT,
    HOST,
    SERVICE_ENDPOINT,
    SHARED,
    SOURCE,
    VIP,
)
from natlb.core.tables import endpoint_slot
from natlb.wire.fields import TCP, UDP
from tests.datapath import B1, B2, SERVICES, config
from tests.datapath import VIP as VIP4

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIG = config_from_mapping(config(SERVICES))
INDICES = Indices().assign(CONFIG, set(), set())
Meanings = dict[tuple[str, int, int], tuple[int, int]]


def meanings(
    given_config: Config = CONFIG, retired: Retired | None = None, sides: Sides | None = None
) -> Meanings:
    """Return (address, port, protocol) -> (kind, service) of all IPv4 that means something."""
    indices = Indices().assign(given_config, set(), set())
    found = endpoints_of(given_config, indices, retired or Retired(), sides or Sides())
    named = {
        (str(IPv4Address(int(each["address3"]))), int(each["port"]), int(each["protocol"])): (
            int(each["kind"]),
            int(each["service"]),
        )
        for each in found
        if each["address2"] == 0xFFFF
    }
    assert len(named) == np.count_nonzero(found["address2"] == 0xFFFF)
    return named


def test_endpoints_are_vips_backends_and_services() -> None:
    """Each address once, whatever it is to how many."""
    found = meanings()

    assert found[VIP4, 0, 0] == (VIP, 0)
    assert found[B1, 0, 0] == (BACKEND_ADDRESS, 0)
    assert found[VIP4, 80, TCP] == (SERVICE_ENDPOINT, INDICES.services["web"])
    assert found[VIP4, 53, UDP] == (SERVICE_ENDPOINT, INDICES.services["dns"])
    assert found[B1, 8080, TCP] == (BACKEND_ENDPOINT, INDICES.services["web"])
    assert found[B2, 5353, UDP] == (BACKEND_ENDPOINT, INDICES.services["dns"])
    assert len(found) == 3 + 2 + 4


def test_each_port_of_a_range_is_an_endpoint() -> None:
    """Of the VIP, and of a backend that keeps the port; another has its own alone."""
    web = {"listen": [f"tcp://{VIP4}:8000-8009", f"udp://{VIP4}:9"], "backends": [B1, f"{B2}:1"]}
    found = meanings(config_from_mapping(config({"web": web})))
    ports = {(port, TCP) for port in range(8000, 8010)} | {(9, UDP)}

    assert found.pop((VIP4, 0, 0)) == (VIP, 0)
    assert found.pop((B1, 0, 0)) == found.pop((B2, 0, 0)) == (BACKEND_ADDRESS, 0)
    assert found == {
        **{(VIP4, *each): (SERVICE_ENDPOINT, 0) for each in ports},
        **{(B1, *each): (BACKEND_ENDPOINT, 0) for each in ports},
        **{(B2, 1, protocol): (BACKEND_ENDPOINT, 0) for protocol in (TCP, UDP)},
    }


def test_the_last_port_ends_a_range() -> None:
    """65535 is followed by nothing."""
    web = {"listen": f"tcp://{VIP4}:65534-65535", "backends": [B1]}
    found = meanings(config_from_mapping(config({"web": web})))

    assert {port for address, port, _ in found if address == VIP4} == {0, 65534, 65535}


def test_a_backend_of_several_services_is_the_first_ones() -> None:
    """It is there once, or a search could find either."""
    services = {
        "a": {"listen": f"tcp://{VIP4}:1", "backends": [f"{B1}:7"]},
        "b": {"listen": f"tcp://{VIP4}:2-9", "backends": [B1]},
    }
    found = meanings(config_from_mapping(config(services)))

    assert found[B1, 7, TCP] == (BACKEND_ENDPOINT, 0)
    assert found[B1, 8, TCP] == (BACKEND_ENDPOINT, 1)


def test_addresses_of_full_nat_and_of_the_host_are_known() -> None:
    """The host may be a backend; and of a VIP that is its address it keeps the rest."""
    datapath = {"source": "10.77.0.1-10.77.0.2"}
    own = ip_address("192.0.2.1"), ip_address(B1), ip_address(VIP4)
    sides = Sides(public=WayOut(hosts=own[:1]), private=WayOut(hosts=own))
    found = meanings(config_from_mapping({"services": SERVICES, "datapath": datapath}), sides=sides)

    assert found["10.77.0.1", 0, 0] == found["10.77.0.2", 0, 0] == (SOURCE, 0)
    assert found["192.0.2.1", 0, 0] == (HOST, 0)
    assert found[B1, 0, 0] == (BACKEND_ADDRESS | HOST, 0)
    assert found[VIP4, 0, 0] == (VIP | HOST | SHARED, 0)


def test_endpoints_are_in_the_order_of_addresses() -> None:
    """Whatever order a set has, which Python draws anew in each process."""
    services = {
        "web": {**SERVICES["web"], "backends": [f"10.9.{n}.1:80" for n in range(50, 9, -1)]}
    }
    found_config = config_from_mapping(config(services))
    indices = Indices().assign(found_config, set(), set())
    found = endpoints_of(found_config, indices, Retired(), Sides())["address3"].tolist()

    assert found == sorted(found)
    assert len(found) == 2 * 41 + 2


def test_retired_addresses_keep_their_meaning() -> None:
    """Flows still need them; what is both keeps both, and the host its own."""
    gone = ip_address("203.0.113.99")
    retired = Retired(
        vips=frozenset({gone, ip_address(B1)}), backends=frozenset({ip_address("10.9.0.99")})
    )
    found = meanings(retired=retired, sides=Sides(public=WayOut(hosts=(gone,))))

    assert found["203.0.113.99", 0, 0] == (VIP | HOST | SHARED, 0)
    assert found["10.9.0.99", 0, 0] == (BACKEND_ADDRESS, 0)
    assert found[B1, 0, 0] == (VIP | BACKEND_ADDRESS, 0)


def test_an_address_retires_when_it_leaves_and_returns_when_it_comes_back() -> None:
    """One generation after the other."""
    other = config_from_mapping(config({"dns": {**SERVICES["dns"], "backends": ["10.9.0.99:53"]}}))
    vips, backends = addresses_of(CONFIG)
    retired = Retired().after(CONFIG, other)

    assert not Retired()
    assert retired
    assert retired.vips == vips - {ip_address(VIP4)}
    assert retired.backends == backends
    assert not Retired(vips=vips, backends=backends).after(other, CONFIG).vips
    back = retired.after(other, CONFIG)
    assert not back.vips
    assert back.backends == {ip_address("10.9.0.99")}


def endpoint(address: Address, port: int, protocol: int) -> NDArray[np.void]:
    """Return one endpoint."""
    return np.array([(*lanes_of(address), port, protocol, SERVICE_ENDPOINT, 7)], ENDPOINT)


@given(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.integers(0, 65535),
    st.integers(0, 255),
    st.integers(4, 21),
)
def test_the_search_begins_where_the_core_begins_it(
    address: Address, port: int, protocol: int, bits: int
) -> None:
    """The same hash, of arrays."""
    (at,) = _first_slots(endpoint(address, port, protocol), 1 << bits)

    assert at == endpoint_slot(lanes_of(address), port, protocol, 1 << bits)


def found_in(slots: Any, wanted: Any) -> Any:
    """Return what a search for an endpoint finds, slot by slot as the core does it."""
    lanes: Any = tuple(int(wanted[f"address{lane}"]) for lane in range(4))
    at = endpoint_slot(lanes, int(wanted["port"]), int(wanted["protocol"]), slots.size)
    while slots[at]["kind"] and slots[at] != wanted:
        at = (at + 1) % slots.size
    return slots[at]


@pytest.mark.parametrize("count", [0, 1, 8, 300])
def test_all_that_is_stored_is_found(count: int) -> None:
    """Also where many meet at one slot, and where a search goes on at the table's beginning."""
    parts = [endpoint(ip_address(f"10.{n % 3}.0.1"), n // 3, TCP) for n in range(count)]
    endpoints = np.concatenate([np.zeros(0, ENDPOINT), *parts])
    slots = np.zeros(max(16, 1 << (count + 1).bit_length()), ENDPOINT)
    store_endpoints(slots, endpoints)

    assert np.count_nonzero(slots["kind"]) == count
    assert all(found_in(slots, each) == each for each in endpoints)
    assert found_in(slots, endpoint(ip_address("10.9.9.9"), 1, TCP)[0])["kind"] == 0


@pytest.mark.parametrize(("count", "slots"), [(0, 16), (7, 16), (8, 32), (300, 1024)])
def test_the_table_is_at_most_half_full(count: int, slots: int) -> None:
    """So that a search is short, and ends."""
    assert slots_for(np.zeros(count, ENDPOINT)) == slots
