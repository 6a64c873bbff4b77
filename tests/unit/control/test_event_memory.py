"""Events in a memfd: what was written whole is read again, in order, whatever else is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from natlb.control.event_memory import HALF, RECORD, EventMemory
from natlb.model import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 1 << 10


def event(number: int, **fields: str) -> Event:
    """Return an event."""
    told = dict(fields)
    at = "2026-01-02T03:04:05.678Z"
    return Event(id=number, at=at, level="info", kind="turned", fields={**told})


@pytest.fixture
def fd() -> Iterator[int]:
    """Return a fresh memfd."""
    fd = os.memfd_create("events")
    yield fd
    os.close(fd)


def test_what_was_written_is_read(fd: int) -> None:
    """By whoever comes next."""
    first = EventMemory(fd, SMALL)
    first.append(event(1, why="a\n\ud800"))
    first.append(event(2))

    assert EventMemory(fd, SMALL).read() == first.read() == [event(1, why="a\n\ud800"), event(2)]


def test_the_youngest_stay(fd: int) -> None:
    """Always more than a half full of them, however many there were."""
    memory = EventMemory(fd, SMALL)
    for number in range(1, 100):
        memory.append(event(number))
        numbers = [each.id for each in EventMemory(fd, SMALL).read()]
        assert numbers == list(range(numbers[0], number + 1))
        assert numbers[0] <= max(1, number - 5)


def test_a_successor_goes_on_behind_the_last(fd: int) -> None:
    """Whoever wrote it."""
    for number in range(1, 30):
        EventMemory(fd, SMALL).append(event(number))

    assert [each.id for each in EventMemory(fd, SMALL).read()][-5:] == [25, 26, 27, 28, 29]


@pytest.mark.parametrize("before", [3, 7])
def test_a_writer_killed_at_any_octet_costs_the_event_it_was_writing(before: int) -> None:
    """And nothing of the half that it was not writing in."""
    whole = os.memfd_create("whole")
    for number in range(1, before + 1):
        EventMemory(whole, SMALL).append(event(number))
    old = os.pread(whole, 2 * SMALL, 0)
    EventMemory(whole, SMALL).append(event(before + 1))
    new = os.pread(whole, 2 * SMALL, 0)
    os.close(whole)
    changed = [place for place in range(2 * SMALL) if old[place] != new[place]]
    for cut in range(changed[0], changed[-1] + 2):
        fd = os.memfd_create("cut")
        os.pwrite(fd, new[:cut] + old[cut:], 0)
        read = [each.id for each in EventMemory(fd, SMALL).read()]
        EventMemory(fd, SMALL).append(event(before + 2))
        again = [each.id for each in EventMemory(fd, SMALL).read()]
        os.close(fd)
        assert read == sorted(read)
        assert read[-1] == (before + 1 if cut > changed[-1] else before)
        assert again[-2:] == [read[-1], before + 2]


def test_an_event_that_no_half_has_room_for_is_kept_without_its_fields(fd: int) -> None:
    """Its number must not be given again."""
    memory = EventMemory(fd, SMALL)
    memory.append(event(1, why="x" * SMALL))

    assert memory.read() == [event(1)]


def test_memory_of_another_size_is_begun_anew(fd: int) -> None:
    """Another version's, whose records are not to be guessed at."""
    os.pwrite(fd, b"x" * 5000, 0)
    memory = EventMemory(fd, SMALL)
    memory.append(event(1))

    assert memory.read() == [event(1)]


def test_it_is_made_and_shared() -> None:
    """Another fd shows the same."""
    memory = EventMemory.create()
    other = memory.duplicate()
    memory.append(event(1))
    again = EventMemory(other)

    assert again.read() == [event(1)]
    assert os.fstat(other).st_size == 2 * HALF > 2 * RECORD.size
    again.close()
    memory.close()
