"""The tables of RFC 7915 and octets that move; whole errors are in core/test_crossing_errors."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.wire.xlat_icmp import (
    PLATEAUS,
    POINTER_TO4,
    POINTER_TO6,
    UNMAPPED,
    map_to4,
    map_to6,
    move_octets,
    plateau_below,
    pointer_to4,
    pointer_to6,
)
from tests.kernels import needs_plain_kernels, octets

needs_plain_kernels()


def test_what_goes_there_and_back_means_the_same() -> None:
    """Of the errors that have one counterpart: port, prohibited by administration, time."""
    for kind, code in ((3, 3), (3, 10), (3, 1), (3, 4), (11, 0), (11, 1), (12, 0)):
        there = map_to6(kind, code)

        assert map_to4(there >> 8, there & 0xFF) == kind << 8 | code


@pytest.mark.parametrize("kind", [0, 4, 5, 8, 9, 13, 30, 255])
def test_what_is_no_error_of_ip4_is_mapped_to_nothing(kind: int) -> None:
    """Source quench and redirect among them (RFC 7915 section 4.2)."""
    assert {map_to6(kind, code) for code in range(256)} == {UNMAPPED}


@pytest.mark.parametrize("kind", [0, 5, 100, 128, 137, 255])
def test_what_is_no_error_of_ip6_is_mapped_to_nothing(kind: int) -> None:
    """Redirect among them."""
    assert {map_to4(kind, code) for code in range(256)} == {UNMAPPED}


def test_pointers_name_a_field_of_the_header_or_nothing() -> None:
    """One for each of its octets; an address's for an address's."""
    assert (len(POINTER_TO6), len(POINTER_TO4)) == (20, 40)
    assert pointer_to6(octets(bytes([12, 0, 0, 0, 255, 0, 0, 0])), 0) == UNMAPPED
    assert pointer_to6(octets(bytes([12, 0, 0, 0, 19, 0, 0, 0])), 0) == 24
    assert pointer_to6(octets(bytes([3, 2, 0, 0, 19, 0, 0, 0])), 0) == 6
    assert pointer_to4(octets(bytes([4, 0, 0, 0, 0, 0, 0, 24])), 0) == 16
    assert pointer_to4(octets(bytes([4, 0, 0, 0, 1, 0, 0, 24])), 0) == UNMAPPED


def test_the_next_usual_mtu_is_below_the_packet() -> None:
    """Or a sender would send as much again (RFC 1191 section 7)."""
    for plateau, lower in pairwise(PLATEAUS):
        assert plateau_below(plateau + 1) == plateau
        assert plateau_below(plateau) == lower
    assert plateau_below(68) == PLATEAUS[-1]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 24))
def test_octets_move_whichever_way_they_overlap(source: int, target: int, count: int) -> None:
    """As a slice of a copy would."""
    before = bytes(range(64))
    slot = octets(before)
    move_octets(slot, source, target, count)

    moved = before[source : source + count]
    assert slot.tobytes() == before[:target] + moved + before[target + count :]
