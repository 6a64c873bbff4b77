from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from natlb.control.compile import Indices, Retired, RunTime, Sides, WayOut, compile_tables
from natlb.control.compile.tables import addresses_of, takes_new_flows
from natlb.control.config import Config, config_from_mapping
from natlb.core.layout import (
    BACKEND_ADDRESS,
    CLOSING,
    DUMMY_ADDRESS4,
    ESTABLISHED,
    OPENING,
    PRIVATE,
    PUBLIC,
    REJECT,
    REPLIED,
    SERVICE_ENDPOINT,
    SILENCE,
    UNREPLIED,
    VIP,
)
from natlb.core.policy import POLICY_NAMES
from natlb.core.tables import SEED0, SEED1, TABLE_GENERATION, Tables
from natlb.errors import UsageError
from natlb.wire.fields import TCP, UDP
from tests.datapath import B1, B2, SERVICES, config
from tests.datapath import VIP as VIP4

CONFIG = config_from_mapping(
    config(
        {
            **SERVICES,
            "web": {
                **SERVICES["web"],
                "policy": "source-hash",
                "no_backend": "drop",
                "timeouts": {"tcp_opening": 1.5},
            },
        },
        timeouts={"udp": "2m"},
    )
)
INDICES = Indices().assign(CONFIG, set(), set())
WEB1, WEB2 = ("web", f"{B1}:8080"), ("web", f"{B2}:8080")


def compiled(given: Config = CONFIG, indices: Indices = INDICES, **changes: Any) -> Tables:
    """Return the tables of a generation."""
    arguments: dict[str, Any] = {"run_time": {}, "sides": Sides(), "seed": 1, "generation": 1}
    return compile_tables(given, indices=indices, **(arguments | changes))


def endpoints(tables: Tables) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Return (last lane, port, protocol) -> (kind, service) of all that is stored."""
    used = tables.endpoints[tables.endpoints["kind"] != 0]
    return {
        (int(each["address3"]), int(each["port"]), int(each["protocol"])): (
            int(each["kind"]),
            int(each["service"]),
        )
        for each in used
    }


def test_endpoints_are_vips_backends_and_services() -> None:
    """Each address once, whatever it is to how many."""
    found = endpoints(compiled())
    vip, backend = int(IPv4Address(VIP4)), int(IPv4Address(B1))

    assert found[vip, 0, 0] == (VIP, 0)
    assert found[backend, 0, 0] == (BACKEND_ADDRESS, 0)
    assert found[vip, 80, TCP] == (SERVICE_ENDPOINT, INDICES.services["web"])
    assert found[vip, 53, UDP] == (SERVICE_ENDPOINT, INDICES.services["dns"])
    assert len(found) == 2 + 4 + 4


def test_retired_addresses_keep_their_meaning() -> None:
    """Flows still need them; what is both keeps both."""
    retired = Retired(
        vips=frozenset({ip_address("203.0.113.99"), ip_address(B1)}),
        backends=frozenset({ip_address("10.9.0.99")}),
    )
    found = endpoints(compiled(retired=retired))

    assert found[int(IPv4Address("203.0.113.99")), 0, 0] == (VIP, 0)
    assert found[int(IPv4Address("10.9.0.99")), 0, 0] == (BACKEND_ADDRESS, 0)
    assert found[int(IPv4Address(B1)), 0, 0] == (VIP | BACKEND_ADDRESS, 0)


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


def test_services_have_policy_ring_and_word_for_no_backend() -> None:
    """The ring is of those that take new flows."""
    tables = compiled()
    web, dns = (tables.services[INDICES.services[name]] for name in ("web", "dns"))

    assert POLICY_NAMES[web["policy"]] == "source-hash"
    assert POLICY_NAMES[dns["policy"]] == "round-robin"
    assert (web["no_backend"], dns["no_backend"]) == (SILENCE, REJECT)
    ring = tables.rings[dns["ring_start"] :][: dns["ring_size"]]
    assert ring.tolist() == [
        INDICES.backends["dns", f"{B1}:5353"],
        INDICES.backends["dns", f"{B2}:5353"],
    ]
    ring = tables.rings[web["ring_start"] :][: web["ring_size"]]
    assert set(ring.tolist()) == {INDICES.backends[WEB1], INDICES.backends[WEB2]}


@pytest.mark.parametrize(
    "change", [{"state": "draining"}, {"state": "maint"}, {"weight": 0}, {"health": "down"}]
)
def test_who_takes_no_new_flows_is_in_no_ring(change: dict[str, Any]) -> None:
    """But in the tables: its flows go on."""
    now = {WEB1: RunTime(**change)}
    tables = compiled(run_time=now)
    web = tables.services[INDICES.services["web"]]
    ring = tables.rings[web["ring_start"] :][: web["ring_size"]]

    assert set(ring.tolist()) == {INDICES.backends[WEB2]}
    record = tables.backends[INDICES.backends[WEB1]]
    assert (record["takes"], record["weight"], record["port"]) == (0, 0, 8080)
    assert takes_new_flows(CONFIG.services["web"], now) == 1


def test_timeouts_are_milliseconds_by_state() -> None:
    """A service's own before the global ones; one that is gone lives by the global ones."""
    indices = Indices(services={**INDICES.services, "gone": 9}, backends=dict(INDICES.backends))
    tables = compiled(indices=indices)
    web, dns = (tables.timeouts[INDICES.services[name]] for name in ("web", "dns"))

    assert web[OPENING] == 1500
    assert dns[OPENING] == tables.timeouts[9][OPENING] == 240_000
    assert web[ESTABLISHED] == 7_440_000
    assert web[CLOSING] == 240_000
    assert dns[REPLIED] == 120_000
    assert dns[UNREPLIED] == 120_000
    assert len(tables.timeouts) == len(tables.services) == 10


def test_ways_out_have_their_mtu_and_addresses() -> None:
    """The dummy of RFC 7600 where there is no IPv4 address, and none where there is no IPv6 one."""
    sides = Sides(
        public=WayOut(mtu=1400),
        private=WayOut(
            mtu=9000, address4=IPv4Address("10.9.0.1"), address6=IPv6Address("fd00:9::1")
        ),
    )
    tables = compiled(sides=sides)
    public, private = tables.ways[PUBLIC], tables.ways[PRIVATE]

    assert (public["side"], public["mtu"], public["address4"]) == (PUBLIC, 1400, DUMMY_ADDRESS4)
    assert not any(public[f"address6_{lane}"] for lane in range(4))
    assert (private["side"], private["mtu"]) == (PRIVATE, 9000)
    assert private["address4"] == int(IPv4Address("10.9.0.1"))
    assert [int(private[f"address6_{lane}"]) for lane in range(4)] == [0xFD000009, 0, 0, 1]


def test_numbers_of_a_generation() -> None:
    """A seed has 64 bits, in two words that kernels can hold."""
    tables = compiled(seed=0x1234567890ABCDEF, generation=77)

    assert tables.numbers[TABLE_GENERATION] == 77
    assert (tables.numbers[SEED0], tables.numbers[SEED1]) == (0x90ABCDEF, 0x12345678)


def test_tables_cannot_be_changed() -> None:
    """A change is another generation."""
    for array in compiled():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_weights_in_force() -> None:
    """What was set at run time goes before the file."""
    backend = CONFIG.services["web"].backends[0]

    assert RunTime().weight_of(backend) == RunTime().effective_weight(backend) == 1
    assert RunTime(weight=5).effective_weight(backend) == 5
    assert RunTime(weight=5, state="maint").weight_of(backend) == 5


@pytest.mark.parametrize(
    "wrong", [{"weight": -1}, {"weight": 65536}, {"state": "x"}, {"health": "x"}]
)
def test_what_is_no_run_time_is_refused(wrong: dict[str, Any]) -> None:
    """It would be in the registry for good."""
    with pytest.raises(UsageError, match=r"is not in 0\.\.65535|is none of"):
        RunTime(**wrong)
