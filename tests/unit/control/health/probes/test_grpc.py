"""Checks by grpc.health.v1, against a server made of the same library's other half."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from natlb.control.health.codes import Code
from natlb.control.health.probes.grpc import request_message, response_status
from natlb.control.health.steps import Failure
from tests.unit.control.health.servers import (
    SHORT,
    against,
    closing,
    flooding,
    never_late,
    saying,
    silent,
)

SERVING = b"\0\0\0\0\x02\x08\x01"


def serving(message: bytes = SERVING, *, http: str = "200", status: str = "0", **end: int):
    """Return a gRPC server that answers each call so; `reset` and `goaway` end it instead."""

    async def talk(connection) -> None:
        loop = asyncio.get_running_loop()
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        await loop.sock_sendall(connection, server.data_to_send())
        while octets := await loop.sock_recv(connection, 65536):
            for event in server.receive_data(octets):
                if isinstance(event, h2.events.RequestReceived):
                    asked.append(dict(event.headers))
                if isinstance(event, h2.events.DataReceived):
                    asked.append(event.data)
                if isinstance(event, h2.events.StreamEnded):
                    answer(server, event.stream_id)
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(connection, server.data_to_send())

    def answer(server: h2.connection.H2Connection, stream: int) -> None:
        if "reset" in end:
            server.reset_stream(stream, end["reset"])
        elif "goaway" in end:
            server.close_connection(end["goaway"])
        else:
            server.send_headers(stream, [(":status", http), ("content-type", "application/grpc")])
            server.send_data(stream, message)
            trailers = [("grpc-status", status), ("grpc-message", "unknown service")]
            server.send_headers(stream, trailers, end_stream=True)

    asked: list = []
    talk.asked = asked  # type: ignore[attr-defined]
    return talk


def met(talk, **check: Any):
    """Return what a check comes to that meets this server."""
    return against(talk, type="grpc", **check)


@pytest.mark.parametrize(
    ("talk", "status", "code", "reason"),
    [
        (serving(), "up", Code.L7OK, "SERVING"),
        (serving(b"\0\0\0\0\x02\x08\x02"), "down", Code.L7STS, "NOT_SERVING"),
        (serving(b"\0\0\0\0\x02\x08\x03"), "down", Code.L7STS, "SERVICE_UNKNOWN"),
        (serving(b"\0\0\0\0\0"), "down", Code.L7STS, "UNKNOWN"),
        (serving(b"\0\0\0\0\x02\x08\x09"), "down", Code.L7STS, "status 9"),
        (serving(status="5"), "down", Code.L7STS, "gRPC status 5 unknown service"),
        (serving(http="404"), "down", Code.L7STS, "HTTP status 404"),
        (serving(b"garbage"), "down", Code.L7RSP, "no gRPC message: garbage"),
        (serving(b"\1\0\0\0\0"), "down", Code.L7RSP, "no gRPC message: "),
        (serving(b"x" * 5000), "down", Code.L7RSP, "a message of more than 4096 octets"),
        (serving(reset=8), "down", Code.L7RSP, "the call was ended"),
        (serving(goaway=2), "down", Code.L7RSP, "the call was ended"),
        (closing, "down", Code.L7RSP, "closed before the end of the answer"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "down", Code.L7RSP, ""),
        (flooding(b"\0\0\0\4\0\0\0\0\0"), "down", Code.L7RSP, ""),
    ],
)
def test_the_answer_decides(talk, status, code, reason) -> None:
    """Serving, or anything else."""
    result = met(talk)

    assert (result.status, result.code) == (status, code), result.reason
    assert result.reason.startswith(reason)


def test_the_call_is_as_the_service_is_defined() -> None:
    """With the name of the service, and how long there is time."""
    talk = serving()
    met(talk, service="web.Api")
    headers, message = talk.asked

    assert message == b"\0\0\0\0\x09\x0a\x07web.Api"
    assert headers[b":path"] == b"/grpc.health.v1.Health/Check"
    assert headers[b"grpc-timeout"] == b"60000m"
    assert headers[b"te"] == b"trailers"


def test_a_server_that_does_not_answer_is_l7tout(monkeypatch) -> None:
    """It may have taken the connection."""
    never_late(monkeypatch)
    result = met(silent, timeout=SHORT)

    assert (result.status, result.code) == ("down", Code.L7TOUT)


@pytest.mark.parametrize(
    ("service", "octets"), [("", b""), ("a", b"\n\x01a"), ("x" * 300, b"\n\xac\x02" + b"x" * 300)]
)
def test_a_request_is_written_as_protobuf_does(service: str, octets: bytes) -> None:
    """The empty name is left out; a long one has a length of two octets."""
    assert request_message(service) == octets


def framed(message: bytes) -> bytes:
    """Return a message as gRPC carries it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x08\x01", 1),
        (b"\x08\x02\x08\x01", 1),  # the last one holds
        (b"\x12\x02xx\x08\x01\x1d1234\x2112345678", 1),  # fields of a later version
        (b"\x08\x80\x80\x01", 1 << 14),
    ],
)
def test_a_response_is_read_as_protobuf_does(message: bytes, status: int) -> None:
    """Fields that are not known are skipped."""
    assert response_status(framed(message)) == status


@pytest.mark.parametrize(
    "message", [b"\x08", b"\x08" + b"\xff" * 11, b"\x12\x7fx", b"\x0b", b"\x0d1", b"\x08\x80"]
)
def test_a_response_that_is_none_is_refused(message: bytes) -> None:
    """Cut short, without end, or of types that there are not."""
    with pytest.raises(Failure):
        response_status(framed(message))
