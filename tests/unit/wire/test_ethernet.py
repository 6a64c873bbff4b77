"""An Ethernet header, octet by octet."""

from __future__ import annotations

import numpy as np
import pytest

from natlb.wire.ethernet import TYPE_IP6, write_addresses, write_type
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


@pytest.mark.parametrize(
    ("tag", "before"), [(0, "86dd"), (0x81006064, "8100606486dd"), (0x88A80001, "88a8000186dd")]
)
def test_a_header_stands_right_before_its_packet(tag: int, before: str) -> None:
    """A tag stands between the addresses and the type."""
    slot = np.full(64, 0xEE, np.uint8)
    start = write_type(slot, 40, TYPE_IP6, tag)
    write_addresses(slot, start, 0x0200, 0x00000001, 0x0A0B, 0x0C0D0E0F)

    assert slot[start:40].tobytes().hex() == "020000000001" + "0a0b0c0d0e0f" + before
    assert start == 40 - 14 - (4 if tag else 0)
    assert slot[start - 1] == slot[40] == 0xEE
