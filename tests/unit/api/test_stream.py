"""Events as they happen."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Any

from natlb.api import server
from natlb.api import stream as stream_module
from natlb.api.stream import _pieces, as_list
from natlb.control.events import MOST_EVENTS, EventLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT = 0.4  # seconds; enough to send a request on a busy machine
FOLLOW = b"GET /v1/events HTTP/1.1\r\nhost: natlb\r\n%s\r\n"


async def take(pieces: AsyncIterator[bytes], many: int) -> list[str]:
    """Return the first lines of so many pieces."""
    return [(await anext(pieces)).decode().split("\n")[1] for _ in range(many)]


def test_what_is_kept_comes_first_and_then_what_happens() -> None:
    """One after the other, none twice."""

    async def live() -> list[str]:
        events, leaving = EventLog(), asyncio.Event()
        events.note("first")
        pieces = _pieces(events, None, leaving)
        seen = await take(pieces, 2)
        later = asyncio.ensure_future(take(pieces, 2))
        await asyncio.sleep(0)
        events.note("second")
        events.note("third")
        seen += await asyncio.wait_for(later, 20)
        leaving.set()
        assert [piece async for piece in pieces] == []
        return seen

    assert asyncio.run(live()) == ["", "event: first", "event: second", "event: third"]


def test_a_line_where_nothing_happens_is_alive(monkeypatch: Any) -> None:
    """Whoever hears nothing for long knows that it is broken."""
    monkeypatch.setattr(stream_module, "HEARTBEAT_SECONDS", 0.01)

    async def live() -> None:
        pieces = _pieces(EventLog(), None, asyncio.Event())
        assert [await anext(pieces) for _ in range(3)][1:] == [b": alive\n\n"] * 2

    asyncio.run(live())


def test_a_gap_is_told_before_what_comes_after_it() -> None:
    """And once: who then has its number goes on from there."""
    events = EventLog()
    for _ in range(MOST_EVENTS + 5):
        events.note("turned")
    told = as_list(events, 2)

    assert (told[0].kind, told[0].id, told[0].fields) == ("gap", 5, {"after": 2, "before": 6})
    assert told[1].id == 6
    assert as_list(events, 5)[0].kind == "turned"
    assert as_list(events, None)[0].kind == "turned"
    assert [event.kind for event in as_list(EventLog(), 7)] == ["gap"]


def test_it_is_followed_over_the_socket(served: Any) -> None:
    """Resumed by the number seen last; what happens meanwhile comes at once."""
    events = served.instance.events
    events.note("first")
    events.note("second")
    with served.connect() as connection:
        connection.sendall(FOLLOW % b"last-event-id: 1\r\n")
        seen = read_until(connection, b"event: second")
        assert b"content-type: text/event-stream" in seen
        assert b"event: first" not in seen
        assert b"id: 2\n" in seen


def read_until(connection: Any, words: bytes) -> bytes:
    """Return what comes, up to these words at least."""
    seen = b""
    while words not in seen:
        piece = connection.recv(1 << 16)
        assert piece, seen
        seen += piece
    return seen


def test_a_follower_that_says_nothing_is_not_cut(served: Any, monkeypatch: Any) -> None:
    """Clients are cut when natlb waits for them, not when they wait for natlb."""
    monkeypatch.setattr(server, "CLIENT_SECONDS", SHORT)
    monkeypatch.setattr(stream_module, "HEARTBEAT_SECONDS", 1.5 * SHORT)
    with served.connect() as connection:
        connection.sendall(FOLLOW % b"")
        assert b": alive" in read_until(connection, b": alive")


def test_a_follower_that_takes_nothing_is_cut_and_may_come_back(
    served: Any, monkeypatch: Any
) -> None:
    """What waits for it is kept in the log alone, and is there when it asks again."""
    events = served.instance.events
    for number in range(MOST_EVENTS):
        events.note("turned", reason=f"{number} " + "x" * 4000)
    with monkeypatch.context() as patch, served.connect() as connection:
        patch.setattr(server, "CLIENT_SECONDS", SHORT)
        connection.sendall(FOLLOW % b"")
        hung_up = select.poll()
        hung_up.register(connection, 0)
        assert hung_up.poll(20_000)
        assert connection.recv(12) == b"HTTP/1.1 200"
    with served.connect() as connection:
        connection.sendall(FOLLOW % b"last-event-id: %d\r\n" % (events.last - 1))
        assert b"id: %d\n" % events.last in read_until(connection, b"event: turned")
