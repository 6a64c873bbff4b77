"""Values and errors as JSON answers.

One form for every error, whoever found it: `{"error": {"code", "message", "fix"}}`. `code` is
what a program goes by and stands in `natlb.errors`; the HTTP status says the same more coarsely.
JSON is written in ASCII: text that came in broken (a lone surrogate) can then always go out.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from natlb.errors import (
    BusyError,
    ChangedError,
    ConfigError,
    DeniedError,
    HostError,
    NatlbError,
    TakenError,
    UnavailableError,
    UnknownNameError,
    UsageError,
    WaitTimeoutError,
)
from natlb.model import members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

HTTP_STATUS: dict[type[NatlbError], int] = {
    ChangedError: 412,
    UsageError: 400,
    DeniedError: 403,
    UnknownNameError: 404,
    BusyError: 409,
    TakenError: 409,
    ConfigError: 422,
    HostError: 422,
    UnavailableError: 503,
    WaitTimeoutError: 504,
}
PIECE = 64  # flows written between two turns of the loop: half a millisecond of work


def _members(value: object) -> dict[str, Any]:
    """Return a model value's members by name: one level, the encoder comes back for the next.

    A third of the time of `dataclasses.asdict`, which copies every leaf.
    """
    if not is_dataclass(value):
        message = f"{type(value).__name__} is no value of natlb.model"
        raise TypeError(message)
    return members(value)


_encoder = json.JSONEncoder(default=_members, check_circular=False)


def encode(value: object) -> bytes:
    """Return a model value, a list of them or plain data as JSON."""
    return _encoder.encode(value).encode("ascii")


def document(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer that holds one small document."""
    return Response(encode(value), status, headers, media_type="application/json")


def listing(values: Sequence[object], headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that writes a list of any length piece by piece.

    Between pieces the loop does its other work, so that a million flows delay no health check,
    and a reader that is slow is waited for instead of buffered for.
    """
    return StreamingResponse(_pieces(values), headers=headers, media_type="application/json")


async def _pieces(values: Sequence[object]) -> AsyncIterator[bytes]:
    yield b"["
    for start in range(0, len(values), PIECE):
        piece = encode(values[start : start + PIECE])[1:-1]
        yield b", " + piece if start else piece
        await asyncio.sleep(0)
    yield b"]"


def refusal(
    error: NatlbError, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that tells `error`; `status` where HTTP has a closer word for it."""
    kinds = [kind for kind in HTTP_STATUS if isinstance(error, kind)]
    told = status or (HTTP_STATUS[kinds[0]] if kinds else 500)
    return document(error_document(error), told, headers)


def error_document(error: NatlbError) -> dict[str, dict[str, str | None]]:
    """Return what every error answer holds."""
    return {"error": {"code": error.code, "message": error.message, "fix": error.fix}}
