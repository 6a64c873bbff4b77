"""Events in memory that outlives control: a memfd of two halves, written in turn.

    record   number of the event, length, digest of both and of the content; the content, JSON

A record goes behind the last one; where its half is full, the other half is begun anew, over what
was there. A reader takes the records of a half from its start on, as long as each is whole and has
a higher number than the one before: what a killed writer left half-written ends the half, and so
does what an earlier turn left behind the last record. So a writer killed at any octet costs at most
the event it was writing and the oldest ones, which were about to go.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from natlb.control.memory import read_all, write_all
from natlb.model import Event, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = struct.Struct("<QI8s")
HALF = 1 << 19


class EventMemory:
    """The memfd, seen by its one writer."""

    def __init__(self, fd: int, half: int = HALF) -> None:
        """Own the fd; a memfd of another size is begun anew."""
        self._fd = fd
        self._size = half
        if os.fstat(fd).st_size != 2 * half:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, 2 * half)
        self._half, self._place, _ = self._newest()

    @classmethod
    def create(cls) -> Self:
        """Return one without events."""
        return cls(os.memfd_create("natlb-events", os.MFD_CLOEXEC))

    def duplicate(self) -> int:
        """Return another fd of the same memory, for who shall hold it too."""
        return os.dup(self._fd)

    def read(self) -> list[Event]:
        """Return the events that are there, oldest first."""
        found = [event for half in (0, 1) for _, event in self._records(half)]
        return sorted(found, key=lambda event: event.id)

    def append(self, event: Event) -> None:
        """Keep an event, whose number is higher than that of all before."""
        content = _encode(event)
        if RECORD.size + len(content) > self._size:
            content = _encode(replace(event, fields={}))
        octets = _head(event.id, content) + content
        if self._place + len(octets) > self._size:
            self._half, self._place = 1 - self._half, 0
        write_all(self._fd, octets, self._half * self._size + self._place)
        self._place += len(octets)

    def close(self) -> None:
        """Let go of the fd."""
        os.close(self._fd)

    def _newest(self) -> tuple[int, int, int]:
        """Return which half was written last, where its records end, and the last number."""
        ends = []
        for half in (0, 1):
            place = number = 0
            for place, event in self._records(half):  # noqa: B007 - the last one counts
                number = event.id
            ends.append((half, place, number))
        return max(ends, key=lambda end: end[2])

    def _records(self, half: int) -> Iterator[tuple[int, Event]]:
        """Yield each record of a half, with the place behind it."""
        octets = read_all(self._fd, self._size, half * self._size)
        place = last = 0
        while place + RECORD.size <= self._size:
            number, length, digest = RECORD.unpack_from(octets, place)
            content = octets[place + RECORD.size : place + RECORD.size + length]
            if number <= last or _head(number, content)[-8:] != digest or len(content) != length:
                return
            place, last = place + RECORD.size + length, number
            yield place, _decode(content)


def _head(number: int, content: bytes) -> bytes:
    numbers = struct.pack("<QI", number, len(content))
    return numbers + hashlib.blake2b(numbers + content, digest_size=8).digest()


def _encode(event: Event) -> bytes:
    return json.dumps(to_json(event), separators=(",", ":")).encode("ascii")


def _decode(content: bytes) -> Event:
    """Return a stored event; members that this version does not know are left out."""
    stored = json.loads(content)
    return Event(**{name: stored[name] for name in Event.__dataclass_fields__})
