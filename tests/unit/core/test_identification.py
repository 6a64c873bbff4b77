from __future__ import annotations

import pytest

from natlb.core.identification import next_identification, take_identifications
from natlb.core.layout import IDENTIFICATION
from tests.datapath import engine
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_every_identification_is_given_once_before_one_is_given_again() -> None:
    """And 0 never is: all 16 bits allow but one (R11)."""
    core = engine()._core
    given = [next_identification(core) for _ in range(2 * 0xFFFF)]

    assert sorted(given[:0xFFFF]) == list(range(1, 0x10000))
    assert given[0xFFFF:] == given[:0xFFFF]


@pytest.mark.parametrize(
    ("last", "first", "then"), [(0, 1, 6), (100, 101, 106), (0xFFFD, 0xFFFE, 4)]
)
def test_a_super_packet_gets_one_for_each_segment(last: int, first: int, then: int) -> None:
    """The next packet's is behind all of them, around the end of the range too."""
    core = engine()._core
    core.flows.meta[IDENTIFICATION] = last

    assert take_identifications(core, 5) == first
    assert next_identification(core) == then
