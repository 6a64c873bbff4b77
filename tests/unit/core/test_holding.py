from __future__ import annotations

from natlb.core.holding import (
    COUNT_HELD,
    LARGE_OCTETS,
    LARGE_PLACES,
    MOST_HELD,
    NO_PLACE,
    SMALL_OCTETS,
    SMALL_PLACES,
    Holding,
    give_place_back,
    hold_packet,
    make_holding,
    take_held,
)
from tests.kernels import needs_plain_kernels, octets

needs_plain_kernels()


def held(holding: Holding, number: int) -> bytes:
    """Return what is held in a place."""
    packet = octets(bytes(int(holding.places[number]["length"])))
    take_held(holding, number, packet)
    return packet.tobytes()


def fill(holding: Holding, size: int = 60) -> list[int]:
    """Hold packets of a size until none is taken any more; return their places."""
    numbers = []
    while (number := hold_packet(holding, octets(bytes(size)), 0, 0)) != NO_PLACE:
        numbers.append(number)
    return numbers


def test_what_is_held_comes_out_as_it_went_in() -> None:
    """Octet for octet, in small places and in large ones, whatever their neighbours hold."""
    holding = make_holding()
    sizes = [1, SMALL_OCTETS, SMALL_OCTETS + 1, LARGE_OCTETS, 1500]
    packets = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    numbers = [hold_packet(holding, octets(packet), 0, 0) for packet in packets]

    assert [held(holding, number) for number in numbers] == packets
    assert [number > SMALL_PLACES for number in numbers] == [False, False, True, True, False]
    assert holding.numbers[COUNT_HELD] == 5


def test_there_are_so_many_places_and_no_more() -> None:
    """Small packets may use large places, large ones have those alone."""
    holding = make_holding()
    numbers = fill(holding)

    assert sorted(numbers) == list(range(1, MOST_HELD + 1))
    assert holding.numbers[COUNT_HELD] == MOST_HELD == 256
    assert len(fill(make_holding(), SMALL_OCTETS + 1)) == LARGE_PLACES


def test_a_packet_larger_than_any_place_is_not_held() -> None:
    """An IPv6 fragment can be a little larger than 64 KiB."""
    assert hold_packet(make_holding(), octets(bytes(LARGE_OCTETS + 1)), 0, 0) == NO_PLACE


def test_a_place_given_back_is_used_again() -> None:
    """Of its own size; and its datagram's next piece is what comes back."""
    holding = make_holding()
    numbers = fill(holding)
    small, large = 17, MOST_HELD - 3
    holding.places[small]["link"] = 99

    assert give_place_back(holding, small) == 99
    assert give_place_back(holding, large) == NO_PLACE
    assert holding.numbers[COUNT_HELD] == len(numbers) - 2
    assert hold_packet(holding, octets(bytes(SMALL_OCTETS + 1)), 0, 0) == large
    assert hold_packet(holding, octets(b"x"), 5, 77) == small
    place = holding.places[small]
    assert (place["length"], place["record"], place["since"], place["link"]) == (1, 5, 77, 0)
