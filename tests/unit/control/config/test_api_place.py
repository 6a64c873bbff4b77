"""Where the API may be called."""

from __future__ import annotations

import pytest

from natlb.control.config.api_place import MAX_SOCKET_PATH, parse_api_listen, parse_token_file


def test_the_api_listens_on_a_path() -> None:
    """The longest beside which the others still have room is taken."""
    longest = "unix:/" + "x" * (MAX_SOCKET_PATH - 1)

    assert parse_api_listen(longest) == longest


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("unix:natlb.sock", "must be like unix:/run/natlb.sock"),
        ("/run/natlb.sock", "must be like unix:/run/natlb.sock"),
        (5, "must be like"),
        ("tcp://127.0.0.1", "must be like"),
        ("tcp://127.0.0.1:0", "must be like"),
        ("tcp://127.0.0.1:65536", "must be like"),
        ("tcp://127.0.0.1:" + "9" * 99999, "must be like"),
        ("tcp://127.0.0.1:\uff18\uff10", "must be like"),
        ("tcp://localhost:80", "must be like"),
        ("tcp://::1:80", "must be like"),
        ("tcp://[127.0.0.1]:80", "must be like"),
        ("tcp://0.0.0.0:80", "reached from outside"),
        ("tcp://[2001:db8::1]:80", "reached from outside"),
        ("unix:/" + "x" * MAX_SOCKET_PATH, "at most 99 octets"),
        ("unix:/" + "é" * 60, "at most 99 octets"),
        ("unix:/a\x00b", "cannot be a path"),
        ("unix:/a\ud800", "cannot be a path"),
    ],
)
def test_what_the_api_cannot_listen_on_is_refused(value: object, message: str) -> None:
    """sockaddr_un is short, and counts octets."""
    with pytest.raises(ValueError, match=message):
        parse_api_listen(value)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("tcp://127.0.0.1:9000", "tcp://127.0.0.1:9000"),
        ("tcp://127.9.8.7:0080", "tcp://127.9.8.7:80"),
        ("tcp://[0:0::1]:9000", "tcp://[::1]:9000"),
    ],
)
def test_by_tcp_the_api_listens_on_this_host_alone(value: str, spelled: str) -> None:
    """In one spelling."""
    assert parse_api_listen(value) == spelled


def test_a_token_file_has_a_path_or_is_none() -> None:
    """`none` is what `validate --show` prints."""
    assert parse_token_file("/etc/natlb/tokens") == "/etc/natlb/tokens"
    assert parse_token_file("none") is parse_token_file(None) is None
    with pytest.raises(ValueError, match="absolute path"):
        parse_token_file("tokens")
