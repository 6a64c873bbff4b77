"""Pieces that came before their datagram's first one, kept until it comes.

A packet is copied out of the batch into a place of its own: most into small places, as large as
what Ethernet carries, a few into large ones. That is 0.5 MiB a worker, and 1 MiB more that is not
touched before a large piece is held.

Laws
    Of a place in use its datagram's record knows, by the list that begins at `first_held`.
    A place is free exactly while its `length` is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.wire.octets import Octets

HELD_PIECE = np.dtype(
    [
        ("length", np.int64),
        ("link", np.int64),  # free: the next free place; else the datagram's next piece; 0: none
        ("record", np.int64),  # of its datagram
        ("since", np.int64),  # milliseconds
    ]
)

SMALL_PLACES = 240
LARGE_PLACES = 16
SMALL_OCTETS = 2048
LARGE_OCTETS = 65536
MOST_HELD = SMALL_PLACES + LARGE_PLACES
HOLD_MS = 3000  # at the most; `timeouts.fragment` may say less

FREE_SMALL, FREE_LARGE, COUNT_HELD = range(3)
NO_PLACE = 0


class Holding(NamedTuple):
    """The places by number, from 1, what is in them, and the lists of free ones."""

    places: NDArray[np.void]  # HELD_PIECE
    octets: NDArray[np.uint8]  # all small ones, then all large ones
    numbers: NDArray[np.int64]


def make_holding() -> Holding:
    """Return places in which nothing is held."""
    places = np.zeros(1 + MOST_HELD, HELD_PIECE)
    places["link"] = np.arange(1, MOST_HELD + 2)
    places["link"][[SMALL_PLACES, MOST_HELD]] = NO_PLACE
    return Holding(
        places=places,
        octets=np.zeros(SMALL_PLACES * SMALL_OCTETS + LARGE_PLACES * LARGE_OCTETS, np.uint8),
        numbers=np.array([1, 1 + SMALL_PLACES, 0], np.int64),
    )


@kernel
def hold_packet(holding: Holding, packet: Octets, record: int, now: int) -> int:
    """Copy a packet into a place, and return its number, or NO_PLACE where none is left."""
    head = FREE_SMALL
    if packet.size > SMALL_OCTETS or holding.numbers[FREE_SMALL] == NO_PLACE:
        head = FREE_LARGE
    number = i64(holding.numbers[head])
    if number == NO_PLACE or packet.size > LARGE_OCTETS:
        return NO_PLACE
    place = holding.places[number]
    holding.numbers[head] = place["link"]
    holding.numbers[COUNT_HELD] += 1
    place["link"] = 0
    place["length"] = packet.size
    place["record"] = record
    place["since"] = now
    start = start_of_place(number)
    for at in range(packet.size):
        holding.octets[start + at] = packet[at]
    return number


@kernel
def start_of_place(number: int) -> int:
    """Return where a place begins in `octets`."""
    if number <= SMALL_PLACES:
        return (number - 1) * SMALL_OCTETS
    return SMALL_PLACES * SMALL_OCTETS + (number - 1 - SMALL_PLACES) * LARGE_OCTETS


@kernel
def take_held(holding: Holding, number: int, packet: Octets) -> None:
    """Copy what is held in a place to `packet`, which has just that length."""
    start = start_of_place(number)
    for at in range(packet.size):
        packet[at] = holding.octets[start + at]


@kernel
def give_place_back(holding: Holding, number: int) -> int:
    """Free a place, and return the next one of the same datagram."""
    place = holding.places[number]
    following = i64(place["link"])
    head = FREE_SMALL if number <= SMALL_PLACES else FREE_LARGE
    place["link"] = holding.numbers[head]
    place["length"] = 0
    holding.numbers[head] = number
    holding.numbers[COUNT_HELD] -= 1
    return following
