"""When no file can be opened any more."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from natlb.api.exhaustion import SECONDS_OVER, Exhaustion
from natlb.control.events import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS = b"GET /v1/status HTTP/1.1\r\nhost: natlb\r\nconnection: close\r\n\r\n"


def until(condition: Callable[[], bool]) -> bool:
    """Return whether a condition comes true within half a minute."""
    deadline = time.monotonic() + 30
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_it_is_told_once_and_again_when_it_comes_back() -> None:
    """Asyncio tries every second, and says so every time."""
    events, now = EventLog(), [0.0]
    told = Exhaustion(SimpleNamespace(events=events), lambda: now[0])
    loop = asyncio.new_event_loop()
    for seconds in (0, 1, 1, 1, SECONDS_OVER + 1, 1):
        now[0] += seconds
        told(loop, {"exception": OSError(errno.EMFILE, "Too many open files")})
    loop.close()

    assert [event.kind for event in events.since(0).events] == ["connections_not_accepted"] * 2


def test_what_else_a_loop_reports_is_told_as_ever(caplog: Any) -> None:
    """Nothing is swallowed."""
    events = EventLog()
    loop = asyncio.new_event_loop()
    Exhaustion(SimpleNamespace(events=events))(
        loop, {"message": "a task broke", "exception": ValueError("so")}
    )
    loop.close()

    assert "a task broke" in caplog.text
    assert events.last == 0


def test_the_api_comes_back_when_files_can_be_opened_again(served: Any) -> None:
    """Who was waiting is served then; nobody has to start anything."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 20, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        os.close(held.pop())
        connection = served.connect()  # takes the last number: nothing is left to accept it with
        assert until(lambda: served.instance.events.last == 1)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with connection:
        connection.sendall(STATUS)
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert served.instance.events.since(0).events[0].kind == "connections_not_accepted"
