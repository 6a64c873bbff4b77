"""What a request may weigh, and what becomes of one that makes us fail.

A layer around the application: it reads the whole body, at most `BODY_BYTES`, before anybody
sees any of it, has the gate judge the request, and answers in the application's place when that
raises. A bug thus costs one request an answer 500 and is logged; it never reaches the loop.

HEAD is GET whose answer has no body; that is left out where it would be written.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING

import structlog

from natlb.api.answers import refusal
from natlb.api.gate import Listing, RefusedError
from natlb.errors import NatlbError, UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from natlb.api.gate import Gate

BODY_BYTES = 1 << 20
LONG_LISTS = "/v1/flows"
IS_HEAD = "natlb.head"
log = structlog.get_logger()


class Limits:
    """An application that answers a request within its limits, whatever the inner one does."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        """Put the limits around `app`."""
        self._app = app
        self._gate = gate
        self._listing = Listing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await _read(receive)
        if body is None:
            return
        try:
            _check_size(body)
            self._gate.check(scope, body)
            with self._listing if scope["path"] == LONG_LISTS else contextlib.nullcontext():
                await self._answer(body, _as_get(scope), receive, send)
        except RefusedError as refused:
            answer = refusal(refused.error, refused.status, refused.headers)
            await answer(scope, receive, send)

    async def _answer(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a body already read; a failure becomes an answer."""
        started = False
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return waiting.pop() if waiting else await receive()

        async def send_on(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_again, send_on)
        except Exception as error:
            where = {"method": scope["method"], "path": scope["path"]}
            text = traceback.format_exc()  # by hand: prettier renderers take seconds, on the loop
            log.error("request_failed", **where, traceback=text)  # noqa: TRY400 - see above
            if started:
                raise
            await _failed(error)(scope, receive, send)


def _check_size(body: bytes) -> None:
    if len(body) > BODY_BYTES:
        raise RefusedError(413, UsageError(f"the request's body is over {BODY_BYTES} bytes"))


def _as_get(scope: Scope) -> Scope:
    """Return HEAD as the GET that it asks about."""
    return {**scope, "method": "GET", IS_HEAD: True} if scope["method"] == "HEAD" else scope


async def _read(receive: Receive) -> bytes | None:
    """Return the body, cut one octet past what is allowed; None when the client has gone."""
    body = bytearray()
    while len(body) <= BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body[: BODY_BYTES + 1])


def _failed(error: Exception) -> ASGIApp:
    message = f"a bug in natlb: {type(error).__name__}"
    return refusal(NatlbError(message, fix="see natlb's log for its traceback"))
