from __future__ import annotations

import pytest
from pydantic import ValidationError

from natlb.control.config.kinds import LARGEST_TABLE
from natlb.control.config.shape import (
    PARTS,
    BackendShape,
    DatapathShape,
    FileShape,
    PolicyShape,
    ServiceShape,
    TimeoutsShape,
    part_at,
)
from natlb.control.config.values import Timeouts

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


@pytest.mark.parametrize("value", [0, -1, LARGEST_TABLE + 1, 1.0, True, "5", None])
def test_max_flows_is_a_whole_number_that_the_index_can_hold(value: object) -> None:
    """A row's number has 24 bits in the index."""
    with pytest.raises(ValidationError):
        DatapathShape.model_validate({"max_flows": value})


@pytest.mark.parametrize("value", [1, LARGEST_TABLE])
def test_both_ends_of_the_range_of_max_flows_are_in_it(value: int) -> None:
    """A range says both of its ends."""
    assert DatapathShape.model_validate({"max_flows": value}).max_flows == value


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
