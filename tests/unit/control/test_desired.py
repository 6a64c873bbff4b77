"""What is wanted, from intent to intent."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from natlb.control.compile import Retired, RunTime
from natlb.control.config import parse_config
from natlb.control.config.values import SlowStart
from natlb.control.desired import Desired, Held, first_desired
from natlb.control.registry import Record
from natlb.errors import UnknownNameError, UsageError
from natlb.model import Change
from tests.unit.control.instances import CONFIG

OTHER = """
services:
  web: {listen: tcp://203.0.113.10:80, backends: [{name: b2, address: "10.77.0.99:8080"}]}
  new: {listen: tcp://203.0.113.12:80, backends: [{name: n1, address: 10.77.0.14}]}
"""


@pytest.fixture
def desired() -> Desired:
    """Return what a new instance begins with."""
    config = parse_config(CONFIG, "test")
    return first_desired(config, CONFIG, "/etc/natlb.yaml", seed=9, started_ns=5)


def reloaded(desired: Desired) -> Desired:
    """Return this with the other configuration."""
    return desired.with_config(parse_config(OTHER, "test"), OTHER, "/etc/other.yaml", now_ms=0)


def test_everything_has_a_number_of_its_own(desired: Desired) -> None:
    """Rows of the flow table know services and backends by them."""
    assert desired.indices.services == {"web": 0, "dns": 1}
    assert sorted(desired.indices.backends.values()) == [0, 1, 2]
    assert not desired.keeps_for_flows


def test_a_removed_backends_number_is_nobody_elses(desired: Desired) -> None:
    """Until it is known that no flow holds it."""
    after = reloaded(desired)
    old, new = desired.indices.backends, after.indices.backends

    assert after.generation == 2
    assert new["web", "b1"] == old["web", "b1"]
    assert new["web", "b2"] == old["web", "b2"]
    assert new["new", "n1"] not in old.values()
    assert after.keeps_for_flows


def test_addresses_that_go_stay_routed_for_the_sake_of_flows(desired: Desired) -> None:
    """A removed backend's replies still have to come by natlb; and a moved one's."""
    after = reloaded(desired)

    assert after.retired.vips == {ip_address("203.0.113.11")}
    assert after.retired.backends == {ip_address(f"10.77.0.{n}") for n in (11, 12, 13)}
    back = after.with_config(desired.config, CONFIG, "/etc/natlb.yaml", now_ms=0)
    assert back.retired.backends == {ip_address("10.77.0.99"), ip_address("10.77.0.14")}


def test_what_no_flow_holds_is_given_up(desired: Desired) -> None:
    """And nothing that the configuration names, whatever the flows hold."""
    after = reloaded(desired)
    b1 = after.indices.backends["web", "b1"]
    address = ip_address("10.77.0.11")
    held = Held(
        services=frozenset({0}),
        backends=frozenset({b1}),
        retired=Retired(backends=frozenset({address, ip_address("9.9.9.9")})),
    )
    less = after.without(held)

    assert less.indices.backends.keys() == {("web", "b1"), ("web", "b2"), ("new", "n1")}
    assert less.indices.services.keys() == {"web", "new"}
    assert less.retired == Retired(backends=frozenset({address}))
    assert less.generation == after.generation
    nothing = less.without(Held())
    assert not nothing.keeps_for_flows


def test_changes_at_run_time_survive_a_reload_by_name(desired: Desired) -> None:
    """What users of other balancers complain about."""
    changed = desired.with_change("web", "b2", state="draining", weight=None, now_ms=0)
    changed = changed.with_change("web", "b1", state=None, weight=7, now_ms=0)
    after = reloaded(changed)

    assert changed.changes() == [
        Change(backend="web/b1", field="weight", file=1, now=7),
        Change(backend="web/b2", field="state", file="ready", now="draining"),
    ]
    assert after.changes() == [
        Change(backend="web/b2", field="state", file="ready", now="draining")
    ]


def test_a_change_back_to_the_file_is_no_change(desired: Desired) -> None:
    """`changes` lists what differs."""
    changed = desired.with_change("web", "b1", state="maint", weight=7, now_ms=0)
    back = changed.with_change("web", "b1", state="ready", weight=1, now_ms=0)

    assert back.changes() == []
    assert back.generation == 3
    assert back.with_change("web", "b1", state="ready", weight=None, now_ms=0) is back


def test_what_cannot_be_meant_is_refused(desired: Desired) -> None:
    """With the names that there are."""
    with pytest.raises(UnknownNameError, match="no service 'wbe'; there are web, dns"):
        desired.with_change("wbe", "b1", state="ready", weight=None, now_ms=0)
    with pytest.raises(UnknownNameError, match="no backend 'web/b9'; there are b1, b2"):
        desired.with_change("web", "b9", state="ready", weight=None, now_ms=0)
    with pytest.raises(UsageError, match="weight 65536"):
        desired.with_change("web", "b1", state=None, weight=65536, now_ms=0)
    with pytest.raises(UsageError, match="state 'off'"):
        desired.with_change("web", "b1", state="off", weight=None, now_ms=0)  # type: ignore[arg-type]


def test_it_comes_back_whole_from_the_registry(desired: Desired) -> None:
    """A new control wants what the dead one wanted."""
    whole = reloaded(desired.with_change("web", "b2", state="draining", weight=3, now_ms=0))
    stored = Record.from_octets(whole.to_record().to_octets())

    assert Desired.from_record(stored) == whole
    assert Desired.from_record(replace(stored, generation=9)).generation == 9


def with_slow_start(desired: Desired, seconds: float = 30.0) -> Desired:
    """Return this with slow start for `web`."""
    web = replace(desired.config.services["web"], slow_start=SlowStart(seconds=seconds))
    config = replace(desired.config, services={**desired.config.services, "web": web})
    return replace(desired, config=config)


def test_who_comes_back_is_noted_and_that_is_no_change(desired: Desired) -> None:
    """`status` lists what somebody wanted otherwise than the file."""
    slow = with_slow_start(desired)
    away = slow.with_change("web", "b1", state="draining", weight=None, now_ms=5)
    back = away.with_change("web", "b1", state="ready", weight=None, now_ms=9)
    later = back.with_change("web", "b1", state=None, weight=4, now_ms=12)

    assert back.run_time == {("web", "b1"): RunTime(began_ms=9)}
    assert back.changes() == []
    assert back.with_change("web", "b1", state="ready", weight=1, now_ms=40) is back
    assert later.run_time == {("web", "b1"): RunTime(weight=4, began_ms=9)}
    same = later.with_config(slow.config, CONFIG, "/etc/natlb.yaml", now_ms=30_009)
    assert same.run_time == {("web", "b1"): RunTime(weight=4)}


def test_a_reload_notes_who_was_added(desired: Desired) -> None:
    """By the time of the flow table's clock."""
    slow = with_slow_start(desired)
    first = slow.config.services["web"].backends[0]
    web = replace(slow.config.services["web"], backends=(first,))
    fewer = replace(slow, config=replace(slow.config, services={"web": web}))
    after = fewer.with_config(slow.config, CONFIG, "/etc/natlb.yaml", now_ms=77)

    assert after.run_time == {("web", "b2"): RunTime(began_ms=77)}


def test_slow_start_and_what_policies_remember_come_back_from_the_registry(
    desired: Desired,
) -> None:
    """So the ramp goes on where control died, and disruption stays minimal."""
    whole = replace(
        desired,
        run_time={("web", "b1"): RunTime(began_ms=123)},
        memories={("web", "anchor"): {"removed": ["b2", "b1"]}},
    )
    stored = Record.from_octets(whole.to_record().to_octets())

    assert Desired.from_record(stored) == whole


CORNERS = """
datapath: {source: [10.77.0.100-10.77.0.103, "fd77::/126"], source_ports: 2000-2999, fragments: 7,
  error_rate: 0, max_flows_per_source: 5}
access: {deny: [192.0.2.0/24]}
timeouts: {fragment: 2s}
services:
  web: {listen: ["tcp://203.0.113.10:80-89", "udp://[2001:db8::1]:80"], backends: [10.77.0.11],
    nat: full, max_flows: 9, unknown: drop, mss_clamp: 1300, datagrams: 1,
    access: {allow: [198.51.100.0/24]}}
"""


def test_what_the_registry_keeps_means_the_same_again() -> None:
    """It keeps the text, so no key can be left out."""
    config = parse_config(CORNERS, "test")
    desired = first_desired(config, CORNERS, "/etc/natlb.yaml", seed=9, started_ns=5)
    again = Desired.from_record(Record.from_octets(desired.to_record().to_octets()))

    assert again == desired
    assert again.config.services["web"].access != again.config.access
