"""The way to an instance; what goes wrong on it is tried through `Client` in test_asking."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.client.transport import Transport
from natlb.errors import ChangedError, TakenError, UnavailableError


def test_headers_of_a_request_arrive(served: Any) -> None:
    """And an answer is read in pieces or lines."""
    transport = Transport(served.path, "", 10)
    with transport.open("GET", "/v1/status", None, {"If-None-Match": '"r1"'}) as answer:
        assert transport.read(answer, 1) == b"{"
        assert transport.read_line(answer).endswith(b"}")
    with transport.open("GET", "/v1/status", None, {"If-None-Match": '"r7"'}) as answer:
        assert answer.status == 304


@pytest.mark.parametrize("kind", [ChangedError, TakenError])
def test_errors_below_others_come_back_as_themselves(served: Any, kind: Any) -> None:
    """Exit codes are those of the kind above."""
    served.instance.failure = kind("what", fix="how")
    with pytest.raises(kind):
        Transport(served.path, "", 10).open("GET", "/v1/status")


def test_what_is_no_error_of_a_socket_is_told_too() -> None:
    """With its own words."""
    error = Transport("/x", "", 1).failure(OSError("odd"))

    assert isinstance(error, UnavailableError)
    assert error.message == "cannot reach /x: odd"
