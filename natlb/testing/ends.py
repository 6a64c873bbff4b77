"""Ends that speak TCP: as much of it as it takes to tell whether what is between them is honest.

Each sends one segment at a time and repeats it until it is acknowledged; takes octets in order
only; and closes its half when it has nothing more to say, so data flows over half-closed
connections too. Nobody here knows of time: `repeat()` is for whoever does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.testing import packets

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_OCTETS = 400  # in a segment: few, so that a connection takes many
WORD = 0xFFFFFFFF


class TcpEnd:
    """One end of a connection, between two `address:port`s.

    `first` is its initial sequence number. A client sends `request` and ends its half; a server
    answers what `answer` returns for the whole request, and ends the other.
    """

    def __init__(
        self,
        here: str,
        there: str,
        first: int,
        *,
        request: bytes = b"",
        answer: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Have said and heard nothing yet."""
        self.here, self.there = here, there
        self.received = bytearray()
        self.was_reset = False
        self._first, self._answer = first, answer
        self._to_say = request if answer is None else b""
        self._may_end = answer is None  # a server ends once it has answered
        self._acknowledged = 0  # of what it says: the SYN, the octets, the FIN
        self._expected: int | None = None
        self._peer_ended = False

    @property
    def is_done(self) -> bool:
        """Whether both halves ended and the other knows that."""
        return self._peer_ended and self._acknowledged == len(self._to_say) + 2

    def start(self) -> list[bytes]:
        """Return a client's first segment."""
        return [self._segment()]

    def repeat(self) -> list[bytes]:
        """Return what is not acknowledged yet, to be sent again."""
        is_quiet = self._expected is None and self._answer is not None
        if is_quiet or self.was_reset or not self._has_something():
            return []
        return [self._segment()]

    def take(self, packet: bytes) -> list[bytes]:
        """Return what to send upon a segment of the other end."""
        fields = packets.read(packet)
        assert (fields.source, fields.destination) == (self.there, self.here), fields
        if "R" in fields.flags:
            self.was_reset = True
            return []
        before = self._acknowledged
        if "A" in fields.flags:
            self._note_acknowledgement((fields.acknowledgement - self._first) & WORD)
        occupied = self._hear(fields)
        if self._has_something() and (self._acknowledged > before or self._acknowledged == 0):
            return [self._segment()]
        return [self._bare()] if occupied else []

    def _note_acknowledgement(self, units: int) -> None:
        if self._acknowledged < units <= len(self._to_say) + 2:
            self._acknowledged = units

    def _hear(self, fields: packets.Read) -> bool:
        """Take what comes next in order; return whether the segment asks for an answer."""
        if "S" in fields.flags and self._expected is None:
            self._expected = (fields.sequence + 1) & WORD
        in_order = fields.sequence == self._expected
        if in_order and self._expected is not None:
            self.received += fields.payload
            self._expected = (self._expected + len(fields.payload)) & WORD
            if "F" in fields.flags:
                self._expected = (self._expected + 1) & WORD
                self._end_of_peer()
        return bool(fields.payload) or "S" in fields.flags or "F" in fields.flags

    def _end_of_peer(self) -> None:
        self._peer_ended = True
        if self._answer is not None and not self._may_end:
            self._to_say, self._may_end = self._answer(bytes(self.received)), True

    def _has_something(self) -> bool:
        """Return whether there is anything to say that is not acknowledged."""
        said_all = self._acknowledged > len(self._to_say)
        return self._acknowledged < len(self._to_say) + 2 if self._may_end else not said_all

    def _segment(self) -> bytes:
        """Return the next segment: the SYN, some octets, or the FIN."""
        if self._acknowledged == 0:
            return self._built("S" if self._expected is None else "SA", 0)
        said = self._acknowledged - 1
        if said == len(self._to_say):
            return self._built("FA", self._acknowledged)
        octets = self._to_say[said : said + MOST_OCTETS]
        return self._built("PA", self._acknowledged, octets)

    def _bare(self) -> bytes:
        return self._built("A", self._acknowledged)

    def _built(self, flags: str, unit: int, octets: bytes = b"") -> bytes:
        return packets.tcp(
            self.here,
            self.there,
            flags,
            sequence=self._first + unit,
            acknowledgement=self._expected or 0,
            payload=octets,
        )
