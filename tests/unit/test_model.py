from __future__ import annotations

import dataclasses

import pytest

from natlb.model import (
    Flow,
    FlowFilter,
    Flush,
    PerDirection,
    PoolCount,
    Reload,
    Service,
    ServiceFlows,
    Shadow,
    SpreadCounts,
    to_json,
)


def test_a_value_is_the_document_it_names() -> None:
    """Lists, nested values and plain ones."""
    document = to_json([Flush(flushed=1, resets=2), Flush(flushed=3, resets=4)])
    assert document == [{"flushed": 1, "resets": 2}, {"flushed": 3, "resets": 4}]
    reload = Reload(generation=1, added=["a"], removed=[], drained=[], changed=["a/b"])

    assert list(to_json(reload)) == ["generation", "added", "removed", "drained", "changed"]


def test_what_few_have_is_left_out_of_the_documents_of_the_others() -> None:
    """Other members say null."""
    plain = Service(
        name="web",
        listen=[],
        policy="round-robin",
        nat="dnat",
        backends=PoolCount(total=0, up=0),
        flows=ServiceFlows(current=0, total=0),
        new_flows_per_second=0.0,
    )
    spread = {"b1": SpreadCounts(policy=1, shadow=2)}
    shadow = Shadow(policy="maglev", compared=3, differed=2, spread=spread)
    rich = dataclasses.replace(plain, shadow=shadow, fallbacks=0)

    assert {*rich.keys()} - {*plain.keys()} == {"shadow", "fallbacks"}
    assert to_json(plain).keys() == dict(plain).keys()
    assert to_json(rich)["shadow"]["spread"] == {"b1": {"policy": 1, "shadow": 2}}
    assert to_json(rich)["fallbacks"] == 0
    with pytest.raises(KeyError):
        plain["shadow"]


def test_values_do_not_change() -> None:
    """A snapshot that somebody holds must not move under him."""
    value = PerDirection(original=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.reply = 2  # type: ignore[misc]


def test_a_filter_of_nothing_means_anything() -> None:
    """None of its fields says so."""
    assert set(to_json(FlowFilter()).values()) == {None}


def test_a_value_reads_as_the_document_it_is() -> None:
    """By name, nested ones too; and no name that a document does not have."""
    flow = Flow(
        service="web",
        backend="b1",
        protocol="tcp",
        client="198.51.100.2:40000",
        vip="203.0.113.10:80",
        server="10.9.0.11:8080",
        source=None,
        state="established",
        worker=0,
        age_seconds=1.2,
        idle_seconds=0.1,
        expires_seconds=7439.9,
        packets=PerDirection(original=4, reply=3),
        bytes=PerDirection(original=412, reply=640),
    )

    assert flow["state"] == flow.state == "established"
    assert flow["packets"]["original"] == 4
    assert dict(flow)["vip"] == "203.0.113.10:80"
    assert list(flow.keys()) == list(to_json(flow))
    for name in ("nosuch", "keys", "__class__"):
        with pytest.raises(KeyError):
            flow[name]
