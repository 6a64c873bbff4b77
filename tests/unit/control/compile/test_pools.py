from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.compile import RunTime
from natlb.control.compile.pools import (
    pool_of_service,
    service_pool,
    slow_start_ms,
    weight_in_force,
)
from natlb.control.config.values import BackendConfig, ServiceConfig, SlowStart

UP, DOWN, OUT = RunTime(health="up"), RunTime(health="down"), RunTime(state="draining")


def backend(number: int, **options: Any) -> BackendConfig:
    """Return backend `bN`."""
    address = ip_address(f"10.9.0.{10 + number}")
    return BackendConfig(name=f"b{number}", address=address, port=80, written="", **options)


def service(*backends: BackendConfig, **options: Any) -> ServiceConfig:
    """Return the service `web` of these backends."""
    return ServiceConfig(name="web", listen=(), backends=backends, **options)


def web_of(kinds: str, threshold: float = 0.0) -> tuple[ServiceConfig, dict[Any, RunTime]]:
    """Return `web`, a letter a backend: Up, Down, Out; a backup's is small."""
    backends = [backend(at, backup=kind.islower()) for at, kind in enumerate(kinds)]
    now = {"u": UP, "d": DOWN, "o": OUT}
    run_time = {("web", f"b{at}"): now[kind.lower()] for at, kind in enumerate(kinds)}
    return service(*backends, panic_threshold=threshold), run_time


@pytest.mark.parametrize(
    "change", [{"state": "draining"}, {"state": "maint"}, {"weight": 0}, {"health": "down"}]
)
def test_who_takes_no_new_flows_is_in_no_pool(change: dict[str, Any]) -> None:
    """Whatever the reason."""
    web = service(backend(1), backend(2, weight=4))
    now = {("web", "b1"): RunTime(**change)}

    assert [each.name for each in pool_of_service(web, now)] == ["b2"]
    assert service_pool(web, now).up == 1


@pytest.mark.parametrize(
    ("kinds", "threshold", "pool", "panic"),
    [
        # primaries and backups; who serves, by place; whether in panic
        ("UUU", 0.0, "012", False),
        ("UUd", 1.0, "01", False),  # a backup is not counted in the share
        ("UDD", 0.0, "0", False),
        ("UDD", 0.34, "012", True),
        ("UDD", 1 / 3, "0", False),  # the threshold itself is enough
        ("UDO", 0.5, "0", False),  # the share is of those that are able
        ("UDO", 0.51, "01", True),
        ("UDu", 0.5, "0", False),
        ("UDu", 0.6, "01", True),
        ("DDu", 0.0, "2", False),
        ("DDu", 1.0, "2", False),  # a backup that is up comes before panic
        ("DDd", 0.0, "", False),
        ("DDd", 0.1, "01", True),
        ("ODd", 0.1, "1", True),
        ("OOd", 0.1, "2", True),
        ("OOo", 0.1, "", True),
        ("uud", 0.0, "01", False),  # nobody but backups
        ("", 0.5, "", True),
    ],
)
def test_the_table_of_who_is_in_the_pool(
    kinds: str, threshold: float, pool: str, panic: bool
) -> None:
    """Line by line, with its borders."""
    web, run_time = web_of(kinds, threshold)
    found = service_pool(web, run_time)

    assert "".join(each.name[1:] for each in found.members) == pool
    assert found.is_in_panic is panic
    assert found.up == kinds.lower().count("u")


def naive_pool(web: ServiceConfig, run_time: dict[Any, RunTime]) -> set[str]:
    """Return who takes new flows, from the documents' sentences alone."""
    rows = []
    for each in web.backends:
        now = run_time.get(("web", each.name), RunTime())
        weight = each.weight if now.weight is None else now.weight
        rows.append((each.name, each.backup, now.state == "ready" and weight > 0, now.health))
    down = {name for name, _, _, health in rows if health == "down"}
    able = {name for name, _, able, _ in rows if able}
    backups = {name for name, backup, _, _ in rows if backup}
    first, second = able - backups, able & backups
    if first - down:
        panics = len(first - down) < web.panic_threshold * len(first)
        return first if panics else first - down
    if second - down:
        return second - down
    return set() if web.panic_threshold == 0 else first or second


RUN_TIMES = st.builds(
    RunTime,
    state=st.sampled_from(["ready", "ready", "ready", "draining", "maint"]),
    weight=st.sampled_from([None, None, 0, 3]),
    health=st.sampled_from(["up", "down", "unknown"]),
)


@given(
    rows=st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 4]), RUN_TIMES), max_size=8),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)
def test_the_pool_is_what_the_words_say(rows: list[Any], threshold: float) -> None:
    """For any states, weights, healths and backups; quarters are exact in either arithmetic."""
    backends = [
        backend(at, backup=backup, weight=weight) for at, (backup, weight, _) in enumerate(rows)
    ]
    web = service(*backends, panic_threshold=threshold)
    run_time = {("web", f"b{at}"): now for at, (_, _, now) in enumerate(rows)}
    found = service_pool(web, run_time)

    assert {each.name for each in found.members} == naive_pool(web, run_time)
    in_order = [each.name for each in backends if each in found.members]
    assert [each.name for each in found.members] == in_order
    for each in found.members:
        assert found.leaves_alive(run_time["web", each.name])


def test_a_threshold_is_compared_as_it_is_written() -> None:
    """7 of 10 is not under 0.7, nor k of n under k/n for any."""
    for total in range(1, 60):
        for up in range(1, total + 1):
            web, run_time = web_of("U" * up + "D" * (total - up), float(f"{up / total!r}"))
            assert not service_pool(web, run_time).is_in_panic


def test_in_panic_nobodys_flows_are_ended_for_health() -> None:
    """Where checks are not believed for new flows, old ones are not ended by them either."""
    calm, now = web_of("UUUD", 0.5)
    panic, _ = web_of("UDDD", 0.5)

    assert not service_pool(calm, now).leaves_alive(DOWN)
    assert service_pool(calm, now).leaves_alive(OUT)
    now = {("web", f"b{at}"): UP if at == 0 else DOWN for at in range(4)}
    assert service_pool(panic, now).leaves_alive(DOWN)


@pytest.mark.parametrize(
    ("slow", "began", "now", "expected"),
    [
        (None, 0, 5, 8),
        (SlowStart(seconds=10), None, 5, 8),
        (SlowStart(seconds=10), 1000, 1000, 0.8),
        (SlowStart(seconds=10), 1000, 900, 0.8),
        (SlowStart(seconds=10), 1000, 6000, 4),
        (SlowStart(seconds=10), 1000, 4333, 2.67),
        (SlowStart(seconds=10, exponent=2.0), 1000, 6000, 2),
        (SlowStart(seconds=10), 1000, 11_000, 8),
    ],
)
def test_the_weight_in_force_rises_in_slow_start(
    slow: Any, began: Any, now: int, expected: float
) -> None:
    """A whole number where it is one."""
    eight = backend(1, weight=8)
    web = service(eight, slow_start=slow)
    weight = weight_in_force(web, eight, RunTime(began_ms=began), now)

    assert weight == expected
    assert isinstance(weight, type(expected))


@pytest.mark.parametrize(("seconds", "milliseconds"), [(30, 30_000), (0.0001, 1), (0.5, 500)])
def test_slow_start_takes_a_millisecond_at_least(seconds: float, milliseconds: int) -> None:
    """0 means none in the tables."""
    assert slow_start_ms(SlowStart(seconds=seconds)) == milliseconds


def test_every_combination_of_three_has_somebody_where_somebody_is_up() -> None:
    """Whatever the threshold."""
    for kinds, threshold in product(product("UDOudo", repeat=3), (0.0, 0.5, 1.0)):
        web, run_time = web_of("".join(kinds), threshold)
        if {"U", "u"} & set(kinds):
            assert pool_of_service(replace(web), run_time)
