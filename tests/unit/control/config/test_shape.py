from __future__ import annotations

import pytest
from pydantic import ValidationError

from natlb.control.config.choosing import PolicyShape
from natlb.control.config.kinds import LARGEST_TABLE
from natlb.control.config.shape import (
    PARTS,
    BackendShape,
    DatapathShape,
    FileShape,
    ServiceShape,
    TimeoutsShape,
    part_at,
)
from natlb.control.config.values import DatapathConfig, ServiceConfig, Timeouts

WEB = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.11:8080"]}


def test_a_service_needs_listen_and_backends_alone() -> None:
    """Everything else has a default."""
    web = FileShape.model_validate({"services": {"web": WEB}}).services["web"]

    assert [str(listen) for listen in web.listen] == ["tcp://203.0.113.10:80"]
    assert (web.policy.name, web.no_backend, web.mode) == ("round-robin", "reject", "packet")


def test_a_short_form_means_the_long_one() -> None:
    """One listen for a list, a name for a policy, an address for a backend."""
    long = {
        "listen": ["tcp://203.0.113.10:80"],
        "policy": {"name": "round-robin"},
        "backends": [{"address": "10.77.0.11:8080"}],
    }

    assert ServiceShape.model_validate(long) == ServiceShape.model_validate(WEB)


def test_an_empty_pool_is_a_pool() -> None:
    """Its service answers as `no_backend` says until it has one."""
    assert ServiceShape.model_validate({**WEB, "backends": []}).backends == []


def test_the_defaults_are_those_of_the_values() -> None:
    """They stand in both: what is shown is what is used."""
    shape, values = ServiceShape.model_validate(WEB), ServiceConfig(name="", listen=(), backends=())
    for name in ("nat", "no_backend", "unknown", "max_flows", "mss_clamp", "datagrams"):
        assert getattr(shape, name) == getattr(values, name)
    datapath, defaults = DatapathShape(), DatapathConfig()
    for name in ("max_flows", "max_flows_per_source", "fragments", "error_rate"):
        assert getattr(datapath, name) == getattr(defaults, name)
    assert datapath.source_ports == "{}-{}".format(*defaults.source_ports)


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("max_flows", 1, LARGEST_TABLE),
        ("max_flows_per_source", 1, LARGEST_TABLE),
        ("fragments", 1, 65536),
        ("error_rate", 0, 1_000_000),
    ],
)
def test_numbers_of_the_datapath_have_both_ends(key: str, low: int, high: int) -> None:
    """And nothing beyond."""
    for value in (low, high):
        assert getattr(DatapathShape.model_validate({key: value}), key) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ValidationError, match=f"{value} is not in {low}..{high}"):
            DatapathShape.model_validate({key: value})


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [("max_flows", 1, LARGEST_TABLE), ("datagrams", 0, 65535), ("mss_clamp", 88, 65495)],
)
def test_numbers_of_a_service_have_both_ends(key: str, low: int, high: int) -> None:
    """And nothing beyond."""
    for value in (low, high):
        assert getattr(ServiceShape.model_validate({**WEB, key: value}), key) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ValidationError, match=f"{value} is not in {low}..{high}"):
            ServiceShape.model_validate({**WEB, key: value})


def test_the_defaults_of_timeouts_are_those_of_the_rfcs() -> None:
    """RFC 5382 REQ-5 (2 h 4 min, 4 min) and RFC 4787 REQ-5 (5 min recommended)."""
    shape, values = TimeoutsShape(), Timeouts()

    assert all(getattr(shape, name) == getattr(values, name) for name in values.__slots__)
    assert (values.tcp_established, values.tcp_opening, values.udp) == (7440, 240, 300)


@pytest.mark.parametrize("model", PARTS.values(), ids=lambda model: model.__name__)
def test_no_mapping_takes_a_key_it_does_not_know(model: type[FileShape]) -> None:
    """What is ignored is what will be missed."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"surely_unknown": 1})


def test_a_path_leads_to_the_model_of_its_mapping() -> None:
    """`services` may hold a service named `services`, and one named `*`."""
    assert part_at(()) is FileShape
    assert part_at(("services", "services")) is ServiceShape
    assert part_at(("services", "*", "backends", 7)) is BackendShape
    assert part_at(("services", "a", "policy")) is PolicyShape
    assert part_at(("services",)) is None
    assert part_at(("services", "a", "listen", 0)) is None


@pytest.mark.parametrize("model", PARTS.values(), ids=lambda model: model.__name__)
def test_every_key_has_a_description(model: type[FileShape]) -> None:
    """It is what the schema and the docs say."""
    for name, field in model.model_fields.items():
        assert field.description, name
