from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.event_ring import EventRing
from natlb.core.events import READ, WRITTEN
from natlb.core.layout import MOST_EVENTS
from natlb.core.memory import Kind, make

if TYPE_CHECKING:
    from natlb.core.events import Events


def write(events: Events, count: int) -> None:
    """Write some events whose value is their number, as a worker does."""
    ring, counts = events
    for _ in range(count):
        at = int(counts[WRITTEN])
        ring[at % MOST_EVENTS]["value"] = at + 1
        ring[at % MOST_EVENTS]["sequence"] = at + 1
        counts[WRITTEN] = at + 1


def values(reader: EventRing) -> list[int]:
    """Return what is read now."""
    return [int(value) for value in reader.read()["value"]]


def test_events_are_read_once_in_order() -> None:
    """Also around the end of the ring, and by the control that comes after a dead one."""
    events: Events = make(Kind.EVENTS)
    reader = EventRing(events)
    nothing = values(reader)
    write(events, 3)
    first = values(reader)
    write(events, MOST_EVENTS - 1)
    second = values(EventRing(events))

    assert nothing == []
    assert first == [1, 2, 3]
    assert second == list(range(4, MOST_EVENTS + 3))
    assert reader.lost == 0


def test_a_reader_that_was_lapped_counts_what_it_lost() -> None:
    """It reads what is left, and no more than the ring holds however much was written."""
    events: Events = make(Kind.EVENTS)
    reader = EventRing(events)
    write(events, 3 * MOST_EVENTS + 5)

    assert values(reader) == list(range(2 * MOST_EVENTS + 6, 3 * MOST_EVENTS + 6))
    assert reader.lost == 2 * MOST_EVENTS + 5
    assert values(reader) == []


def test_a_record_that_is_being_written_is_lost_and_not_misread() -> None:
    """The worker is about to overwrite the oldest, or was killed over it."""
    events: Events = make(Kind.EVENTS)
    reader = EventRing(events)
    write(events, MOST_EVENTS)
    events.ring[0]["sequence"] = 0

    assert values(reader) == list(range(2, MOST_EVENTS + 1))
    assert reader.lost == 1


def test_a_position_that_cannot_be_is_not_believed() -> None:
    """It goes on from the newest."""
    events: Events = make(Kind.EVENTS)
    write(events, 3)
    for wrong in (-1, 4):
        events.counts[READ] = wrong
        assert values(EventRing(events)) == []
