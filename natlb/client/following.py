"""Events as they happen, over the death of control: none is missed, none comes twice.

The stream ends when control is replaced; it is asked for again, from the number seen last. What is
kept no more by then is told by an event `gap`. Who hears nothing for longer than heartbeats are
apart asks again as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from natlb.client.values import value_of
from natlb.errors import BusyError, UnavailableError, WaitTimeoutError
from natlb.model import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPResponse

    from natlb.client.transport import Transport

PATH = "/v1/events"
SECONDS_BETWEEN = 0.2
SECONDS_WITHOUT_ANSWER = 30.0
FOR_NOW = (UnavailableError, WaitTimeoutError, BusyError)  # what may be over at the next try


def events_path(since: int | None, *, follow: bool) -> str:
    """Return what to ask for."""
    words = [] if since is None else [f"since={since}"]
    words += [] if follow else ["follow=false"]
    return f"{PATH}?{'&'.join(words)}" if words else PATH


def follow(
    transport: Transport,
    since: int | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Yield events without end; raise what the first try does, and later what lasts too long."""
    heard: float | None = None
    while True:
        try:
            with transport.open("GET", events_path(since, follow=True)) as answer:
                heard = clock()
                for event in _events(transport, answer):
                    yield event
                    since, heard = event.id, clock()
        except FOR_NOW:
            if heard is None or clock() - heard > SECONDS_WITHOUT_ANSWER:
                raise
        sleep(SECONDS_BETWEEN)


def _events(transport: Transport, answer: HTTPResponse) -> Iterator[Event]:
    """Yield the events of a stream; one that is cut short is none."""
    content = b""
    while line := transport.read_line(answer):
        if line.startswith(b"data:"):
            content += line[5:].strip()
        elif content and not line.strip():
            yield value_of(Event, transport.parse(content))
            content = b""
