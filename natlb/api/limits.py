"""What a request may weigh, and what becomes of one that makes us fail.

A layer around the application: it reads the whole body, at most `BODY_BYTES`, before the
application sees any of it, and answers in the application's place when that raises. A bug thus
costs one request an answer 500 and is logged; it never reaches the loop.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import structlog

from natlb.api.answers import refusal
from natlb.errors import NatlbError, UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 1 << 20
log = structlog.get_logger()


class Limits:
    """An application that answers a request within its limits, whatever the inner one does."""

    def __init__(self, app: ASGIApp) -> None:
        """Put the limits around `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await _read(receive)
        if body is None:
            return
        if len(body) > BODY_BYTES:
            await _too_large()(scope, receive, send)
            return
        await self._answer(body, scope, receive, send)

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


def _too_large() -> ASGIApp:
    return refusal(UsageError(f"the request's body is over {BODY_BYTES} bytes"), 413)


def _failed(error: Exception) -> ASGIApp:
    message = f"a bug in natlb: {type(error).__name__}"
    return refusal(NatlbError(message, fix="see natlb's log for its traceback"))
