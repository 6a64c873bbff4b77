"""`grpc`: the health service that every gRPC server may have, grpc.health.v1.

    service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
    message HealthCheckRequest { string service = 1; }
    message HealthCheckResponse { enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2;
                                  SERVICE_UNKNOWN = 3; }  ServingStatus status = 1; }

(github.com/grpc/grpc-proto, grpc/health/v1/health.proto.) Over HTTP/2 without TLS, begun without
asking (RFC 9113 section 3.3); a message is a flag and a length before its octets
(github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). Two messages of one field are read and written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events

from natlb import __version__
from natlb.control.health.codes import Code
from natlb.control.health.sockets import open_stream
from natlb.control.health.steps import ANSWER, REQUEST, Failure, shown

if TYPE_CHECKING:
    from natlb.control.config.values import CheckConfig
    from natlb.control.health.probe import Target
    from natlb.control.health.sockets import OpenSocket, Stream
    from natlb.control.health.steps import Steps

PATH = "/grpc.health.v1.Health/Check"
STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
SERVING = 1
PREFIX = 5
MOST_MESSAGE = 4096
MOST_ANSWER = 16 * 1024  # the library takes 0.2 ms for a frame of nine octets
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # protobuf.dev, "Encoding": wire types


async def ask(
    check: CheckConfig, target: Target, steps: Steps, open_socket: OpenSocket
) -> tuple[Code, str]:
    """Ask for the health of a service, or of the whole server."""
    stream = await open_stream(target, steps, open_socket, MOST_ANSWER)
    try:
        call = _Call(stream)
        steps.begin(REQUEST)
        steps.saw(shown(f"{PATH} of {check.service or 'the whole server'}"))
        await call.request(str(target), check)
        steps.begin(ANSWER)
        await call.answer()
    finally:
        stream.close()
    status = call.status()
    steps.saw(STATUS.get(status, str(status)))
    if status != SERVING:
        raise Failure(Code.L7STS, STATUS.get(status, f"status {status}"))
    return Code.L7OK, STATUS[SERVING]


class _Call:
    """One call on a connection of its own: what was sent, and what came back."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._headers: dict[bytes, bytes] = {}
        self._message = b""
        self._over = False

    async def request(self, authority: str, check: CheckConfig) -> None:
        http = self._http
        http.initiate_connection()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{max(1, int(check.timeout * 1000))}m"),
            ("user-agent", f"natlb/{__version__}"),
        ]
        stream = http.get_next_available_stream_id()
        http.send_headers(stream, headers)
        message = request_message(check.service)
        prefix = b"\0" + len(message).to_bytes(PREFIX - 1, "big")
        http.send_data(stream, prefix + message, end_stream=True)
        await self._stream.send(http.data_to_send())

    async def answer(self) -> None:
        """Take all that belongs to the answer."""
        while not self._over:
            octets = await self._stream.receive()
            if not octets:
                raise Failure(Code.L7RSP, "closed before the end of the answer")
            for event in self._parse(octets):
                self._take(event)
            if reply := self._http.data_to_send():
                await self._stream.send(reply)

    def _parse(self, octets: bytes) -> list[h2.events.Event]:
        try:
            return self._http.receive_data(octets)
        except Exception as error:  # noqa: BLE001 - whatever the library says of a stranger's octets
            raise Failure(Code.L7RSP, f"no HTTP/2: {shown(str(error))}") from None

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self._headers.update(event.headers or [])
            case h2.events.DataReceived():
                self._message += event.data or b""
                if len(self._message) > MOST_MESSAGE:
                    raise Failure(Code.L7RSP, f"a message of more than {MOST_MESSAGE} octets")
            case h2.events.StreamEnded():
                self._over = True
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise Failure(Code.L7RSP, f"the call was ended with error {event.error_code}")

    def status(self) -> int:
        """Return the status that was answered, or raise what was answered instead."""
        http = self._headers.get(b":status", b"")
        if http != b"200":
            raise Failure(Code.L7STS, f"HTTP status {shown(http)}")
        code = self._headers.get(b"grpc-status", b"none")
        if code != b"0":
            words = shown(self._headers.get(b"grpc-message", b""))
            raise Failure(Code.L7STS, f"gRPC status {shown(code)} {words}".rstrip())
        return response_status(self._message)


def request_message(service: str) -> bytes:
    """Return a HealthCheckRequest; the empty name is the default, which protobuf leaves out."""
    name = service.encode()
    return bytes([1 << 3 | LENGTH]) + _varint(len(name)) + name if name else b""


def _varint(number: int) -> bytes:
    octets = b""
    while number > 0x7F:
        octets += bytes([number & 0x7F | 0x80])
        number >>= 7
    return octets + bytes([number])


def response_status(framed: bytes) -> int:
    """Return the status that a framed HealthCheckResponse holds; one that is left out is 0."""
    length = int.from_bytes(framed[1:PREFIX], "big")
    if len(framed) != PREFIX + length or framed[0] != 0:
        raise Failure(Code.L7RSP, f"no gRPC message: {shown(framed, 60)}")
    status = 0
    try:
        for field, value in _fields(framed[PREFIX:]):
            if field == 1:
                status = value
    except IndexError:
        raise Failure(Code.L7RSP, "a message that ends too early") from None
    return status


def _fields(message: bytes) -> list[tuple[int, int]]:
    """Return number and value of the fields that are numbers; others are skipped."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key & 7 == VARINT:
            value, at = _read_varint(message, at)
            found.append((key >> 3, value))
        elif key & 7 == LENGTH:
            length, at = _read_varint(message, at)
            at += length
        elif key & 7 in (FIXED64, FIXED32):
            at += 8 if key & 7 == FIXED64 else 4
        else:
            raise Failure(Code.L7RSP, f"a message with a field of wire type {key & 7}")
    if at != len(message):
        raise IndexError
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        octet = message[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
    raise Failure(Code.L7RSP, "a message with a number that does not end")
