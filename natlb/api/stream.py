"""Events as they happen: server-sent events, which any browser and `curl -N` read.

    id: 12
    event: backend_down
    data: {"id": 12, "at": "…", "level": "warning", "kind": "backend_down", "fields": {…}}

Who comes back with the last number they saw gets what came after it. Where some of that is kept no
more, an event `gap` says so first; its number is that before the oldest one that follows. A comment
every `HEARTBEAT_SECONDS` shows that the line is alive.

Nothing is kept for a reader: it is written what the log still has when it is ready for more, and a
reader that takes nothing is cut as any other.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi.responses import StreamingResponse

from natlb.api.answers import encode
from natlb.control.events import rfc3339
from natlb.errors import UsageError
from natlb.model import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Response

    from natlb.control.events import EventLog, Since

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
LONGEST_NUMBER = 18  # digits


def first_number(last_seen: str | None, since: int | None) -> int | None:
    """Return the number after which events are wanted; None: whatever there is."""
    if last_seen is None:
        return since
    if not (last_seen.isascii() and last_seen.isdecimal()) or len(last_seen) > LONGEST_NUMBER:
        raise UsageError("Last-Event-ID is no number of an event")
    return int(last_seen)


def as_list(events: EventLog, number: int | None) -> list[Event]:
    """Return the kept events after a number, behind a gap where some are missing."""
    found = events.since(number or 0)
    return [*_gap(events, found, number), *found.events]


def stream(events: EventLog, number: int | None, leaving: asyncio.Event) -> Response:
    """Return an answer that goes on until its reader, or natlb, leaves."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    pieces = _pieces(events, number, leaving)
    return StreamingResponse(pieces, headers=headers, media_type="text/event-stream")


async def _pieces(
    events: EventLog, number: int | None, leaving: asyncio.Event
) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MILLISECONDS
    while not leaving.is_set():
        for event in as_list(events, number):
            yield _piece(event)
            number = event.id
        if number is None:
            number = events.last
        if not await _news(events, number, leaving):
            yield b": alive\n\n"


async def _news(events: EventLog, number: int, leaving: asyncio.Event) -> bool:
    """Return whether there is something to do before the next heartbeat."""
    waiting = [asyncio.ensure_future(events.wait(number)), asyncio.ensure_future(leaving.wait())]
    try:
        done, _ = await asyncio.wait(
            waiting, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for each in waiting:
            each.cancel()
    return bool(done)


def _gap(events: EventLog, found: Since, number: int | None) -> list[Event]:
    """Return the event that tells of missing ones, where somebody misses them."""
    if found.is_whole or number is None:
        return []
    before = found.events[0].id - 1 if found.events else events.last
    at = rfc3339(datetime.now(UTC))
    fields = {"after": number, "before": before + 1}
    return [Event(id=before, at=at, level="warning", kind="gap", fields=dict(fields))]


def _piece(event: Event) -> bytes:
    kind = event.kind.encode("ascii", "replace")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, kind, encode(event))
