from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from natlb.control.config.kinds import (
    LARGEST_TABLE,
    REST,
    Count,
    EndpointValue,
    Limit,
    Listens,
    PortRange,
    Prefixes,
    Sources,
    Within,
)
from natlb.core.layout import MOST_FLOWS


def read(kind: Any, value: object, context: object = None) -> Any:
    """Return what a value is as this kind."""
    return TypeAdapter(kind).validate_python(value, strict=True, context=context)


def test_a_table_is_no_larger_than_the_index_can_tell() -> None:
    """The limit stands twice, because a configuration is read without NumPy."""
    assert LARGEST_TABLE == MOST_FLOWS


@pytest.mark.parametrize("value", [0, -1, LARGEST_TABLE + 1, 1.0, True, "5", None])
def test_a_count_is_a_whole_number_of_the_range(value: object) -> None:
    """1.0 and true are none."""
    with pytest.raises(ValidationError):
        read(Count, value)


def test_a_range_says_both_of_its_ends() -> None:
    """To who leaves it, and to an editor."""
    kind = Annotated[int, Within(3, 5)]

    assert [read(kind, value) for value in (3, 5)] == [3, 5]
    with pytest.raises(ValidationError, match=r"6 is not in 3\.\.5"):
        read(kind, 6)
    assert TypeAdapter(kind).json_schema() == {"type": "integer", "minimum": 3, "maximum": 5}


def test_a_limit_is_a_count_or_none() -> None:
    """By its word: an empty value is none of both."""
    assert [read(Limit, value) for value in (1, LARGEST_TABLE, "none")] == [1, LARGEST_TABLE, None]
    no_limits: list[object] = [None, "", "None", "5", 5.0, True, [], {}]
    for value in no_limits:
        with pytest.raises(ValidationError, match="must be a whole number or none"):
            read(Limit, value)
    with pytest.raises(ValidationError, match=r"0 is not in 1\.\.16777215"):
        read(Limit, 0)


def test_the_schema_of_a_limit_has_its_word() -> None:
    """So that an editor offers it."""
    words = TypeAdapter(Limit).json_schema()["anyOf"]

    assert {"const": "none", "type": "string"} in words
    assert {"type": "integer", "minimum": 1, "maximum": LARGEST_TABLE} in words


def test_one_stands_for_a_list_of_one() -> None:
    """Of listens, sources and prefixes alike."""
    listen, source, prefix = "tcp://203.0.113.10:80", "10.77.0.1", "10.0.0.0/8"

    assert read(Listens, listen) == read(Listens, [listen])
    assert read(Sources, source) == read(Sources, [source]) == [(ip_address(source),)]
    assert read(Prefixes, prefix) == read(Prefixes, [prefix]) == [ip_network(prefix)]


def test_no_sources_have_a_word() -> None:
    """The one that `--show` prints."""
    assert read(Sources, "none") == read(Sources, []) == []
    with pytest.raises(ValidationError, match="is not an IP address"):
        read(Sources, ["none"])


def test_a_service_listens_on_something() -> None:
    """But for what is left of one that is wrong."""
    assert read(Listens, [], REST) == []
    with pytest.raises(ValidationError, match="is empty"):
        read(Listens, [])


def test_a_range_of_ports_stays_as_written() -> None:
    """It is shown so."""
    assert read(PortRange, "1024-65535") == "1024-65535"
    with pytest.raises(ValidationError, match="must be a range of ports"):
        read(PortRange, 1024)


def test_an_endpoint_remembers_how_it_was_written() -> None:
    """That is its name."""
    found = read(EndpointValue, "[FD00::1]:80")

    assert (str(found.address), found.port, found.written) == ("fd00::1", 80, "[FD00::1]:80")


@pytest.mark.parametrize(
    ("value", "message"),
    [(5, "must be ADDRESS or ADDRESS:PORT, not 5"), (["fd00::1"], "in brackets needs quotes")],
)
def test_what_is_no_endpoint_is_refused(value: object, message: str) -> None:
    """YAML takes `[fd00::1]` for a list."""
    with pytest.raises(ValidationError, match=message):
        read(EndpointValue, value)
