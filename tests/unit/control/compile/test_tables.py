from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from natlb.control.compile import Indices, RunTime, Sides, WayOut, compile_tables
from natlb.control.compile.addresses import address_of
from natlb.control.config import Config, config_from_mapping
from natlb.control.config.values import SlowStart
from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    DETACHED,
    DIRECT,
    DNAT,
    ESTABLISHED,
    FIRST_FOUND,
    FULL,
    HALF_ORIGINAL,
    HALF_REPLY,
    OPENING,
    REJECT,
    REPLIED,
    SILENCE,
    STATE_LABELS,
    UNREPLIED,
    WEIGHT_ONE,
)
from natlb.core.tables import (
    ERROR_RATE,
    FRAGMENT_MS,
    FRAGMENTS,
    MOST_PER_SOURCE,
    PORT_FIRST,
    PORT_LAST,
    SEED0,
    SEED1,
    SOURCES4,
    SOURCES6,
    TABLE_GENERATION,
    Tables,
)
from tests.datapath import B1, B2, SERVICES, config

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


def test_services_have_a_word_for_no_backend() -> None:
    """A reset, or silence."""
    web, dns = (compiled().services[INDICES.services[name]] for name in ("web", "dns"))

    assert (web["no_backend"], dns["no_backend"]) == (SILENCE, REJECT)


@pytest.mark.parametrize(
    "change", [{"state": "draining"}, {"state": "maint"}, {"weight": 0}, {"health": "down"}]
)
def test_who_takes_no_new_flows_has_no_weight(change: dict[str, Any]) -> None:
    """But is in the tables: its flows go on."""
    now = {WEB1: RunTime(**change)}
    record = compiled(run_time=now).backends[INDICES.backends[WEB1]]

    assert (record["takes"], record["weight"], record["port"]) == (0, 0, 8080)


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


def test_every_state_that_may_be_found_has_its_time() -> None:
    """One without would end with its first packet."""
    milliseconds = {state: int(ms) for state, ms in enumerate(compiled().timeouts[0])}

    assert {state for state, ms in milliseconds.items() if ms} == {DIRECT, *STATE_LABELS}
    assert min(STATE_LABELS) > FIRST_FOUND
    assert milliseconds[ANSWERED] == milliseconds[OPENING]
    assert milliseconds[HALF_ORIGINAL] == milliseconds[HALF_REPLY] == milliseconds[ESTABLISHED]


@pytest.mark.parametrize(("unreplied", "milliseconds"), [("2s", 2000), ("2h", 5000)])
def test_late_answers_are_waited_for_a_few_seconds(unreplied: str, milliseconds: int) -> None:
    """No longer than a first answer would be."""
    given = config_from_mapping(config(timeouts={"udp_unreplied": unreplied}))

    assert compiled(given).timeouts[0][DETACHED] == milliseconds


def test_a_service_says_what_it_lets_through_and_how() -> None:
    """By default nothing is limited and only the destination is translated."""
    limits = {
        "nat": "full",
        "unknown": "drop",
        "max_flows": 7,
        "mss_clamp": 1400,
        "datagrams": 3,
    }
    services = {**SERVICES, "dns": {**SERVICES["dns"], **limits}}
    given = config_from_mapping({"services": services, "datapath": {"source": ["10.77.0.1"]}})
    web, dns = (compiled(given).services[INDICES.services[name]] for name in ("web", "dns"))

    names = ("unknown", "nat", "max_flows", "mss4", "datagrams")
    assert [int(web[name]) for name in names] == [REJECT, DNAT, 0, 0, 0]
    assert [int(dns[name]) for name in names] == [SILENCE, FULL, 7, 1400, 3]


def test_a_clamp_that_names_no_number_is_what_both_ways_out_take() -> None:
    """40 octets less than the smaller MTU (RFC 6691)."""
    given = config_from_mapping(config({"web": {**SERVICES["web"], "mss_clamp": True}}))
    sides = Sides(public=WayOut(mtu=1500), private=WayOut(mtu=1300))

    assert compiled(given, sides=sides).services[INDICES.services["web"]]["mss4"] == 1260


@pytest.mark.parametrize(("health", "lives"), [("up", 1), ("unknown", 1), ("down", 0)])
@pytest.mark.parametrize("state", ["ready", "draining", "maint"])
def test_a_backend_lives_until_it_is_known_to_be_down(state: Any, health: Any, lives: int) -> None:
    """What an operator wants of it says nothing about that."""
    tables = compiled(run_time={WEB1: RunTime(state=state, health=health)})

    assert tables.backends[INDICES.backends[WEB1]]["lives"] == lives


def with_web(**changes: Any) -> Config:
    """Return the configuration with these keys of `web`."""
    web = replace(CONFIG.services["web"], **changes)
    return replace(CONFIG, services={**CONFIG.services, "web": web})


def test_in_panic_all_take_new_flows_and_live() -> None:
    """Else each datagram to a backend that is down would end its flow and make another."""
    now = {WEB1: RunTime(health="down")}
    tables = compiled(with_web(panic_threshold=0.6), run_time=now)
    service = tables.services[INDICES.services["web"]]

    assert service["pool_size"] == 2
    for key in (WEB1, WEB2):
        record = tables.backends[INDICES.backends[key]]
        assert (record["takes"], record["lives"], record["weight"]) == (1, 1, WEIGHT_ONE)


def test_a_backup_lives_and_takes_nothing_while_another_is_up() -> None:
    """Its flows of other times go on."""
    first, second = CONFIG.services["web"].backends
    given = with_web(backends=(first, replace(second, backup=True, max_flows=9)))
    records = [
        compiled(given, run_time=now).backends[INDICES.backends[WEB2]]
        for now in ({}, {WEB1: RunTime(state="draining")})
    ]

    assert [(record["takes"], record["lives"]) for record in records] == [(0, 1), (1, 1)]
    assert records[1]["max_flows"] == 9


def test_slow_start_stands_in_the_tables_of_who_came() -> None:
    """The core works the rest out, at each choice."""
    given = with_web(slow_start=SlowStart(seconds=1.5, exponent=2.0))
    tables = compiled(given, run_time={WEB1: RunTime(began_ms=77)})
    came, stayed = (tables.backends[INDICES.backends[key]] for key in (WEB1, WEB2))
    fields = ("began_ms", "slow_start_ms", "slow_start_exponent")

    assert [came[name] for name in fields] == [77, 1500, 2.0]
    assert stayed["slow_start_ms"] == 0
    none = compiled(run_time={WEB1: RunTime(began_ms=77)})
    assert not none.backends["slow_start_ms"].any()


def test_a_removed_backend_lives_no_more_and_keeps_its_place() -> None:
    """Rows still hold its number: it must be inside the table, whoever else is gone."""
    indices = Indices(services=INDICES.services, backends={**INDICES.backends, ("web", "gone"): 40})
    tables = compiled(indices=indices)

    assert len(tables.backends) == 41
    assert not any(tables.backends[40])


def test_sources_lie_by_version_and_are_counted() -> None:
    """IPv4 first: full NAT looks among those of the backend's version."""
    datapath = {"source": ["fd77::2", "10.77.0.3-10.77.0.4", "10.77.0.1", "fd77::1"]}
    given = config_from_mapping({"services": SERVICES, "datapath": datapath})
    tables = compiled(given)

    assert [str(address_of(list(each))) for each in tables.sources] == [
        *("10.77.0.1", "10.77.0.3", "10.77.0.4", "fd77::1", "fd77::2"),
    ]
    assert (tables.numbers[SOURCES4], tables.numbers[SOURCES6]) == (3, 2)


def test_numbers_of_a_generation() -> None:
    """A seed has 64 bits, in two words that kernels can hold."""
    tables = compiled(seed=0x1234567890ABCDEF, generation=77)

    assert tables.numbers[TABLE_GENERATION] == 77
    assert (tables.numbers[SEED0], tables.numbers[SEED1]) == (0x90ABCDEF, 0x12345678)


def test_numbers_of_the_datapath() -> None:
    """No limit is 0."""
    datapath = {
        "max_flows_per_source": 9,
        "fragments": 11,
        "error_rate": 0,
        "source_ports": "2000-2999",
    }
    given = {"services": SERVICES, "datapath": datapath, "timeouts": {"fragment": "1.5s"}}
    asked, unasked = compiled(config_from_mapping(given)).numbers, compiled().numbers
    places = [MOST_PER_SOURCE, FRAGMENTS, ERROR_RATE, PORT_FIRST, PORT_LAST, FRAGMENT_MS]

    assert asked[places].tolist() == [9, 11, 0, 2000, 2999, 1500]
    assert unasked[places].tolist() == [0, 4096, 1000, 1024, 65535, 30_000]
    assert unasked[SOURCES4] == unasked[SOURCES6] == 0


def test_tables_cannot_be_changed() -> None:
    """A change is another generation."""
    for array in compiled():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
