from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from natlb.core.fragment_table import (
    COPY,
    DATAGRAM,
    FRESH_PIECE,
    OVERLAP,
    SET,
    begin_datagram,
    context_of,
    find_datagram,
    first_of_set,
    is_complete,
    judge_piece,
    make_fragments,
    note_piece,
    oldest_of_set,
)
from natlb.testing.packets import split_endpoint
from tests.conformance.pieces import piece
from tests.datapath import CLIENT, CLIENT6, VIP, VIP6, engine
from tests.kernels import needs_plain_kernels, parsed_of

needs_plain_kernels()


class Table:
    """A core's table, and one datagram in it."""

    def __init__(self, datagrams: int = 16) -> None:
        """Begin a datagram at record 0."""
        self.core = engine()._core._replace(fragments=make_fragments(datagrams))
        self.begin()

    def begin(self) -> None:
        """Begin another datagram at record 0."""
        begin_datagram(self.core, 0, self.piece(0, 8), 0, 0)

    @staticmethod
    def piece(offset: int, length: int, *, last: bool = False, **other: Any) -> Any:
        """Return what is parsed of octets `offset` to `offset + length` of a datagram."""
        return parsed_of(packet_of(offset, length, last=last, **other))

    def judge(self, offset: int, length: int, *, last: bool = False) -> int:
        """Return the judgement of a piece, which is here then if it is a fresh one."""
        parsed = self.piece(offset, length, last=last)
        judged = judge_piece(self.core, 0, parsed)
        if judged == FRESH_PIECE:
            note_piece(self.core, 0, parsed)
        return judged

    @property
    def record(self) -> Any:
        """The datagram's record."""
        return self.core.fragments.records[0]


def packet_of(
    offset: int,
    length: int,
    *,
    last: bool = False,
    source: str = CLIENT,
    protocol: int = 47,
    identification: int = 7,
) -> bytes:
    """Return a piece of a datagram."""
    (first, _), (second, _) = split_endpoint(source), split_endpoint(VIP6 if ":" in source else VIP)
    if first.version == 4:
        head = bytes([0x45, *bytes(7), 64, protocol, 0, 0]) + first.packed + second.packed
    else:
        head = bytes([0x60, *bytes(5), 44, 64]) + first.packed + second.packed
    return piece(head, protocol, bytes(length), offset, identification, more=not last)


PIECES = [(0, 24), (24, 8), (32, 1480), (1512, 64), (1576, 13)]


def test_any_order_of_pieces_completes_a_datagram() -> None:
    """With the last of them, and not before (RFC 815)."""
    table = Table()
    for seed in range(50):
        order = random.Random(seed).sample(PIECES, len(PIECES))
        table.begin()
        for number, (offset, length) in enumerate(order):
            assert not is_complete(table.record)
            assert table.judge(offset, length, last=offset == 1576) == FRESH_PIECE, order
            assert is_complete(table.record) == (number == len(PIECES) - 1)


def test_an_exact_copy_of_any_piece_is_told_from_an_overlap() -> None:
    """Whenever it comes: networks double packets (RFC 8200, erratum to section 4.5)."""
    for seed in range(20):
        table = Table()
        order = random.Random(seed).sample(PIECES, len(PIECES))
        for number, (offset, length) in enumerate(order):
            table.judge(offset, length, last=offset == 1576)
            for known in order[: number + 1]:
                assert table.judge(*known, last=known[0] == 1576) == COPY


# gVisor's cases for RFC 5722 (pkg/tcpip/network/internal/fragmentation), and more
@pytest.mark.parametrize(
    "sly",
    [
        (16, 8, False),  # within a piece, at its end
        (8, 8, False),  # within a piece
        (0, 8, False),  # at its beginning
        (0, 32, False),  # over two pieces
        (16, 16, False),  # across a border
        (8, 64, False),  # from one into a hole
        (24, 24, False),  # over a piece and into a hole
        (56, 24, False),  # from a hole into a piece
        (64, 16, True),  # the last piece again, shorter
        (64, 32, True),  # and longer
        (72, 8, True),  # and a part of it
        (64, 24, False),  # and as if it were not the last
        (96, 8, False),  # data behind the end
        (88, 8, True),  # an end behind the end
        (48, 8, True),  # an end before the end
    ],
)
def test_whatever_overlaps_or_contradicts_is_an_overlap(sly: tuple[int, int, bool]) -> None:
    """Here are 0-24, 24-32 and, as the last one, 64-88."""
    table = Table()
    for offset, length, last in ((0, 24, False), (24, 8, False), (64, 24, True)):
        assert table.judge(offset, length, last=last) == FRESH_PIECE

    assert table.judge(sly[0], sly[1], last=sly[2]) == OVERLAP


@pytest.mark.parametrize(("offset", "length"), [(16, 8), (24, 8), (32, 8)])
def test_an_end_within_what_is_here_is_an_overlap(offset: int, length: int) -> None:
    """Data beyond the end came first; a last piece that is the copy of one that was not last."""
    table = Table()
    table.judge(24, 16)

    assert table.judge(offset, length, last=True) == OVERLAP


def test_a_piece_at_the_very_end_of_the_largest_datagram_is_judged() -> None:
    """The map ends with it."""
    table = Table()

    assert table.judge(65512, 23, last=True) == FRESH_PIECE
    assert table.judge(65512, 23, last=True) == COPY


def test_nothing_is_left_of_the_last_datagram_in_a_record() -> None:
    """Neither its map nor its end."""
    table = Table()
    for offset, length, last in ((0, 1480, False), (65000, 535, True)):
        table.judge(offset, length, last=last)
    table.begin()

    assert not table.core.fragments.maps.any()
    assert table.judge(0, 2000) == FRESH_PIECE
    assert not is_complete(table.record)


@pytest.mark.parametrize(
    "other",
    [
        {"identification": 8},
        {"source": "198.51.100.3"},
        {"protocol": 50},
    ],
)
def test_pieces_of_other_datagrams_are_not_of_this_one(other: dict[str, Any]) -> None:
    """By any part of its name."""
    table = Table(8)
    begin_datagram(table.core, 3, parsed_of(packet_of(0, 8)), 17, 0)

    assert find_datagram(table.core, 0, parsed_of(packet_of(8, 8)), 17) == 3
    stranger = parsed_of(packet_of(8, 8, **other))
    is_found = find_datagram(table.core, 0, stranger, 17 if "protocol" not in other else 50)
    assert is_found == -1
    assert find_datagram(table.core, 0, parsed_of(packet_of(8, 8)), 256 + 17) == -1


@pytest.mark.parametrize(
    "lane", [f"{end}{n}" for end in ("source", "destination") for n in range(4)]
)
def test_every_lane_of_an_address_tells_datagrams_apart(lane: str) -> None:
    """IPv6 clients of one network differ in the last lanes, networks in the first."""
    table = Table(8)
    parsed = parsed_of(packet_of(8, 8, source=CLIENT6))
    begin_datagram(table.core, 3, parsed, 0, 0)

    assert find_datagram(table.core, 0, parsed, 0) == 3
    parsed[lane] ^= 1
    assert find_datagram(table.core, 0, parsed, 0) == -1


def test_the_protocol_is_part_of_the_name_with_ip4_alone() -> None:
    """In IPv6 the first piece may name another next header than the others (RFC 8200, 4.5)."""
    assert context_of(parsed_of(packet_of(8, 8, protocol=6)), 1) == 256 + 6
    assert context_of(parsed_of(packet_of(8, 8, source=CLIENT6, protocol=6)), 1) == 256


def test_sets_are_used_evenly_and_within_the_table() -> None:
    """The hash is keyed: where a datagram lies cannot be told from outside."""
    table = Table(64)
    starts = [
        first_of_set(table.core, parsed_of(packet_of(8, 8, identification=n)), 17)
        for n in range(800)
    ]

    assert set(starts) == set(range(0, 64, SET))
    assert min(starts.count(start) for start in set(starts)) > 60


def test_the_oldest_of_a_set_gives_way() -> None:
    """Unless there is an unused one."""
    table = Table(8)
    for at in range(8):
        begin_datagram(table.core, at, Table.piece(0, 8), 0, 100 - at % 5)

    assert oldest_of_set(table.core, 0) == 4
    table.core.fragments.records[6]["used"] = 0
    assert oldest_of_set(table.core, 0) == 6


@pytest.mark.parametrize(("wanted", "records"), [(1, 1), (5, 5), (8, 8), (13, 8), (4096, 4096)])
def test_a_table_is_as_large_as_asked_for(wanted: int, records: int) -> None:
    """Or a little smaller, in whole sets; its memory is used only where it is needed."""
    made = make_fragments(wanted)

    assert made.records.size == len(made.maps) == records
    assert made.records.nbytes == records * DATAGRAM.itemsize
    assert made.maps.dtype == np.uint8


def test_a_sample_of_the_memory_has_no_room() -> None:
    """The loop is compiled for its types before any table says how much there shall be."""
    assert make_fragments(0).records.size == 0
