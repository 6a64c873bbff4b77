from __future__ import annotations

from bisect import bisect_right
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from natlb.core.access import ALLOWED, DENIED, judge_access
from natlb.core.layout import ACCESS_STEP, SERVICE
from tests.kernels import key_of, needs_plain_kernels

needs_plain_kernels()


def tables_of(numbers: list[int], before: int = 0) -> Any:
    """Return tables of one service, whose verdict at each of these addresses is its place."""
    services = np.zeros(1, SERVICE)
    services[0]["access_start"], services[0]["access_size"] = before, len(numbers)
    access = np.zeros(before + len(numbers) + 3, ACCESS_STEP)
    for at, number in enumerate(numbers):
        lanes = tuple(number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))
        access[before + at] = (*lanes, at)
    return SimpleNamespace(services=services, access=access)


def key_from(number: int) -> Any:
    """Return the key of a packet from an address given as a number."""
    key = key_of("0.0.0.0:1", "203.0.113.10:80")
    for lane in range(4):
        key[f"source{lane}"] = number >> 32 * (3 - lane) & 0xFFFFFFFF
    return key


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100, 1001])
@pytest.mark.parametrize("before", [0, 5])
def test_the_last_step_that_begins_at_or_before_an_address_holds(count: int, before: int) -> None:
    """At every step, one before and one behind; in each lane."""
    random = Random(count)
    drawn = {random.getrandbits(random.choice([33, 65, 97, 128])) for _ in range(count - 1)}
    numbers = sorted({0, *drawn})
    tables = tables_of(numbers, before)
    for number in numbers:
        for near in (max(0, number - 1), number, min((1 << 128) - 1, number + 1)):
            expected = bisect_right(numbers, near) - 1
            assert judge_access(tables, 0, key_from(near)) == expected


def test_a_step_says_allowed_or_the_reason() -> None:
    """As `access` in the counters."""
    assert (ALLOWED, DENIED) == (0, 22)
