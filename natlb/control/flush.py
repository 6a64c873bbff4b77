"""Commands to a worker by the ring that both map: given here, done there between batches."""

from __future__ import annotations

from typing import Any

from natlb.core.commands import GIVEN, TAKEN, Commands
from natlb.core.layout import RING
from natlb.errors import BusyError
from natlb.model import Flush


def give(ring: Commands, command: Any) -> int:
    """Put a COMMAND into the ring and return its number; BusyError where the ring is full.

    The record is stored before the count that shows it to the worker, which looks when woken.
    """
    number = int(ring.counts[GIVEN])
    if number - int(ring.counts[TAKEN]) >= RING:
        raise BusyError(f"{RING} commands are under way", fix="try again")
    ring.ring[number % RING] = command
    ring.counts[GIVEN] = number + 1
    return number


def outcome(ring: Commands, number: int) -> Flush | None:
    """Return what a command did, None while it is under way.

    To be asked before `RING` more are given.
    """
    if int(ring.counts[TAKEN]) <= number:
        return None
    record = ring.ring[number % RING]
    return Flush(flushed=int(record["flushed"]), resets=int(record["resets"]))
