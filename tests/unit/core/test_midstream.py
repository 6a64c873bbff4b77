from __future__ import annotations

import numpy as np

from natlb.core.layout import ROW
from natlb.core.midstream import MOST_WINDOW, expect_anything
from natlb.core.windows import is_within_reach
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_nothing_that_honest_ends_send_is_out_of_reach() -> None:
    """The largest window that there can be, either way (`test_adoption.py` plays whole talks)."""
    row = np.zeros(1, ROW)[0]
    expect_anything(row)

    for this, other in ((row["original"], row["reply"]), (row["reply"], row["original"])):
        assert is_within_reach(this, other, MOST_WINDOW, 1)
        assert is_within_reach(this, other, (1 << 32) - MOST_WINDOW, 0)
        assert not is_within_reach(this, other, 1 << 31, 1)
