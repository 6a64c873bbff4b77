from __future__ import annotations

from dataclasses import FrozenInstanceError
from ipaddress import ip_address

import pytest

from natlb.control.config.values import ApiConfig, Listen, endpoint


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [
        ("10.0.0.1", 80, "10.0.0.1:80"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("fd00::1", 80, "[fd00::1]:80"),
        ("fd00::1", None, "fd00::1"),
    ],
)
def test_an_endpoint_is_written_with_brackets_where_they_are_needed(
    address: str, port: int | None, text: str
) -> None:
    """The form of the JSON documents."""
    assert endpoint(ip_address(address), port) == text


def test_a_listen_is_written_as_in_a_file() -> None:
    """So that what is printed can be pasted back."""
    assert str(Listen("udp", ip_address("2001:db8::1"), 53)) == "udp://[2001:db8::1]:53"


@pytest.mark.parametrize(("ports", "last", "text"), [(1, 80, "80"), (10, 89, "80-89")])
def test_a_listen_has_one_port_or_many(ports: int, last: int, text: str) -> None:
    """A range of one is a port."""
    listen = Listen("tcp", ip_address("203.0.113.10"), 80, ports)

    assert listen.last == last
    assert str(listen) == f"tcp://203.0.113.10:{text}"


def test_a_configuration_does_not_change() -> None:
    """Readers in other threads hold it."""
    with pytest.raises(FrozenInstanceError):
        ApiConfig().listen = "unix:/x"  # type: ignore[misc]
