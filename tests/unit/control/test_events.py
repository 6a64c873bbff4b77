"""Events: one line, one number, and nobody misses what is still kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from natlb.control import log
from natlb.control.event_memory import EventMemory
from natlb.control.events import LONGEST_TEXT, MOST_EVENTS, MOST_NAMES, EventLog, rfc3339

NOON = datetime(2026, 1, 2, 12, 0, 0, 5000, UTC)


def test_a_fact_is_a_line_and_an_event(capsys) -> None:
    """Under the same word, with the same fields."""
    log.configure()
    events = EventLog(lambda: NOON)
    events.note("backend_down", "warning", service="web", backend="b1")
    (event,) = events.since(0).events

    assert (event.id, event.kind, event.level) == (1, "backend_down", "warning")
    assert (event.at, event.fields) == (rfc3339(NOON), {"service": "web", "backend": "b1"})
    assert "warning backend_down service=web backend=b1" in capsys.readouterr().err


def test_what_is_not_kept_any_more_is_said() -> None:
    """Who resumes after a gap, or with a number that was never given, reads what there is."""
    events = EventLog()
    assert events.since(0) == ([], True)
    assert not events.since(7).is_whole
    for _ in range(MOST_EVENTS + 2):
        events.note("turned")
    assert not events.since(1).is_whole
    assert [event.id for event in events.since(MOST_EVENTS).events] == [
        MOST_EVENTS + 1,
        events.last,
    ]
    assert events.since(2).is_whole


def test_whoever_waits_hears_of_the_next() -> None:
    """And not of one before."""

    async def live() -> None:
        events = EventLog()
        events.note("before")
        waiting = asyncio.ensure_future(events.wait(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        events.note("after")
        await asyncio.wait_for(waiting, 5)

    asyncio.run(live())


def test_times_are_of_utc() -> None:
    """With milliseconds, and Z."""
    assert rfc3339(NOON) == "2026-01-02T12:00:00.005Z"


def test_events_and_their_numbers_survive() -> None:
    """Who follows by number notices nothing of another control."""
    memory = EventMemory.create()
    shared = memory.duplicate()
    before, after = EventLog(), EventLog()
    before.keep_in(memory)
    before.note("first")
    before.note("second")
    before.close()
    after.note("early")
    after.keep_in(EventMemory(shared))
    after.note("third")
    kinds = [(event.id, event.kind) for event in after.since(0).events]
    after.close()

    assert kinds == [(1, "first"), (2, "second"), (3, "early"), (4, "third")]


def test_what_is_long_is_cut_short() -> None:
    """A reload of ten thousand backends is one line that can be read."""
    events = EventLog()
    names = [f"web/{number}" for number in range(MOST_NAMES + 5)]
    events.note("configuration_reloaded", added=names, path="x" * 10**5)
    fields = events.since(0).events[0].fields

    assert fields["added"] == [*names[:MOST_NAMES], "and 5 more"]
    assert len(str(fields["path"])) == LONGEST_TEXT
    assert str(fields["path"]).endswith("…")
