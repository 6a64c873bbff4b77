from __future__ import annotations

from itertools import pairwise

from natlb.core.identification import next_identification
from tests.datapath import engine
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_every_identification_is_given_once_before_one_is_given_again() -> None:
    """As late as 16 bits allow (R11)."""
    core = engine()._core
    given = [next_identification(core) for _ in range(2 * 0x10000)]

    assert sorted(given[:0x10000]) == list(range(0x10000))
    assert given[0x10000:] == given[:0x10000]


def test_nobody_can_tell_from_one_what_the_next_will_be() -> None:
    """A counter would tell everybody how much natlb sends (RFC 7739)."""
    core = engine()._core
    given = [next_identification(core) for _ in range(1000)]
    steps = [(then - now) & 0xFFFF for now, then in pairwise(given)]

    assert max(steps.count(step) for step in set(steps)) <= 5
