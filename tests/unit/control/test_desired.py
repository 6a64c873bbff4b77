"""What is wanted, from intent to intent."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from natlb.control.compile import Retired
from natlb.control.config import parse_config
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
    return desired.with_config(parse_config(OTHER, "test"), OTHER, "/etc/other.yaml")


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
    back = after.with_config(desired.config, CONFIG, "/etc/natlb.yaml")
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
    changed = desired.with_change("web", "b2", state="draining", weight=None)
    changed = changed.with_change("web", "b1", state=None, weight=7)
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
    changed = desired.with_change("web", "b1", state="maint", weight=7)
    back = changed.with_change("web", "b1", state="ready", weight=1)

    assert back.changes() == []
    assert back.generation == 3
    assert back.with_change("web", "b1", state="ready", weight=None) is back


def test_what_cannot_be_meant_is_refused(desired: Desired) -> None:
    """With the names that there are."""
    with pytest.raises(UnknownNameError, match="no service 'wbe'; there are web, dns"):
        desired.with_change("wbe", "b1", state="ready", weight=None)
    with pytest.raises(UnknownNameError, match="no backend 'web/b9'; there are b1, b2"):
        desired.with_change("web", "b9", state="ready", weight=None)
    with pytest.raises(UsageError, match="weight 65536"):
        desired.with_change("web", "b1", state=None, weight=65536)
    with pytest.raises(UsageError, match="state 'off'"):
        desired.with_change("web", "b1", state="off", weight=None)  # type: ignore[arg-type]


def test_it_comes_back_whole_from_the_registry(desired: Desired) -> None:
    """A new control wants what the dead one wanted."""
    whole = reloaded(desired.with_change("web", "b2", state="draining", weight=3))
    stored = Record.from_octets(whole.to_record().to_octets())

    assert Desired.from_record(stored) == whole
    assert Desired.from_record(replace(stored, generation=9)).generation == 9


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
