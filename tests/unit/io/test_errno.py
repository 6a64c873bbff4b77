"""Why a call failed is known behind it."""

from __future__ import annotations

import errno

import numpy as np

from natlb.io import errno as ours
from natlb.io.calls import read
from natlb.io.errno import last_error
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_a_call_on_nothing_says_why_it_failed() -> None:
    """-1 is no descriptor."""
    assert read(-1, 0, 0) == -1
    assert last_error(np.zeros(1, np.int32)) == errno.EBADF


def test_the_numbers_are_this_machines() -> None:
    """As Python's own module has them."""
    for name in ("EINTR", "EAGAIN", "EINVAL", "EMSGSIZE", "ENETDOWN", "ENOBUFS"):
        assert getattr(ours, name) == getattr(errno, name)
