"""`http` and `https`: one request, its status, and its body where a pattern is looked for.

No redirect is followed: where it leads is no backend. Without a pattern the header decides, and the
body is not waited for; with one, at most MOST_BODY octets of it are read and searched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from natlb import __version__
from natlb.control.health.codes import Code
from natlb.control.health.matching import TooCostlyError, found
from natlb.control.health.sockets import open_stream
from natlb.control.health.steps import ANSWER, REQUEST, Failure, shown
from natlb.control.health.tls import TlsStream, context_of

if TYPE_CHECKING:
    from natlb.control.config.values import CheckConfig
    from natlb.control.health.probe import Target
    from natlb.control.health.sockets import OpenSocket, Stream
    from natlb.control.health.steps import Steps

MOST_BODY = 64 * 1024
MOST_HEADER = 16 * 1024
MOST_ANNOUNCED = 8


async def ask(
    check: CheckConfig, target: Target, steps: Steps, open_socket: OpenSocket
) -> tuple[Code, str]:
    """Ask for `path` and look at the answer."""
    context = context_of(check) if check.type == "https" else None
    plain = await open_stream(target, steps, open_socket)
    try:
        if context is None:
            return await _converse(check, target, steps, plain)
        stream = TlsStream(plain, context, server_name(check, target))
        await stream.shake_hands(steps)
        return await _converse(check, target, steps, stream)
    finally:
        plain.close()


def server_name(check: CheckConfig, target: Target) -> str:
    """Return the name that the certificate must have: `sni`, that of `host`, or the address."""
    host = check.host or ""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return check.sni or name or str(target.address)


async def _converse(
    check: CheckConfig, target: Target, steps: Steps, stream: Stream | TlsStream
) -> tuple[Code, str]:
    conversation = _Conversation(stream)
    steps.begin(REQUEST)
    host = check.host or str(target)
    steps.saw(shown(f"{check.method} {check.path}, Host: {host}"))
    await conversation.request(check.method, check.path, host)
    steps.begin(ANSWER)
    answer = await conversation.response()
    line = shown(
        f"HTTP/{answer.http_version.decode()} {answer.status_code} ".encode() + answer.reason
    )
    steps.saw(line)
    if not any(first <= answer.status_code <= last for first, last in check.status):
        raise Failure(Code.L7STS, line)
    if check.match is None:
        return Code.L7OK, line
    body = await conversation.body()
    steps.saw(f"{line}, {len(body)} octets: {shown(body, 60)}")
    return _match(check.match, body, line)


def _match(pattern: str, body: bytes, line: str) -> tuple[Code, str]:
    try:
        if found(pattern, body):
            return Code.L7OK, f"{line}, body matches"
    except TooCostlyError:
        raise Failure(Code.L7RSP, f"{line}, matching this body takes too long") from None
    raise Failure(Code.L7RSP, f"{line}, body does not match: {shown(body, 60)}")


class _Conversation:
    """One request and its answer, on a connection of their own."""

    def __init__(self, stream: Stream | TlsStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEADER)
        self._heard = False

    async def request(self, method: str, path: str, host: str) -> None:
        headers = [
            ("Host", host),
            ("User-Agent", f"natlb/{__version__}"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        request = h11.Request(method=method, target=path, headers=headers)
        octets = self._http.send(request) or b""
        await self._stream.send(octets + (self._http.send(h11.EndOfMessage()) or b""))

    async def response(self) -> h11.Response:
        """Return the header of the answer proper, past those that only say that it is to come."""
        for _ in range(MOST_ANNOUNCED):
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
        raise Failure(Code.L7RSP, f"{MOST_ANNOUNCED} times 1xx, and no answer")

    async def body(self) -> bytes:
        """Return the body, its first MOST_BODY octets."""
        body = b""
        while len(body) < MOST_BODY:
            event = await self._next()
            if isinstance(event, h11.Data):
                body += event.data
            else:
                break
        return body[:MOST_BODY]

    async def _next(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except Exception as error:  # noqa: BLE001 - whatever the library says of a stranger's octets
                raise Failure(Code.L7RSP, self._fault(error)) from None
            if event is not h11.NEED_DATA:
                return event
            octets = await self._stream.receive()
            self._heard = self._heard or bool(octets)
            self._http.receive_data(octets)

    def _fault(self, error: Exception) -> str:
        if not self._heard:
            return "closed without an answer"
        return f"no HTTP that can be read: {shown(str(error))}"
