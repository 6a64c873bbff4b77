"""What is summed once for a flow is what a whole sum over its packets says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from natlb.core.deltas import sum_deltas
from natlb.core.layout import KEY_FIELDS, ROW
from natlb.wire.checksum import apply_delta

LANES = [name for name, kind in KEY_FIELDS if kind is np.uint32]
PORTS = [name for name, kind in KEY_FIELDS if kind is np.uint16]
words = st.sampled_from([0, 1, 0xFFFF, 0xFFFF0000, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)


def whole_checksum(values: list[int]) -> int:
    """Return the checksum of 32-bit words and a constant, computed at length."""
    total = 0x1234 + sum((value >> 16) + (value & 0xFFFF) for value in values)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.lists(words, min_size=len(LANES) * 2, max_size=len(LANES) * 2), st.data())
def test_deltas_turn_one_keys_sum_into_the_others(lanes: list[int], data: st.DataObject) -> None:
    """Both directions, addresses alone and with ports: RFC 1624's rule against a whole sum."""
    row = np.zeros(1, ROW)[0]
    original, reply = row["original"], row["reply"]
    for half, values in ((original, lanes[: len(LANES)]), (reply, lanes[len(LANES) :])):
        for name, value in zip(LANES, values, strict=True):
            half[name] = value
        for name in PORTS:
            half[name] = data.draw(st.integers(1, 0xFFFF))
    sum_deltas(original, reply)

    for this, other in ((original, reply), (reply, original)):
        for fields, delta in ((LANES, "address_delta"), (LANES + PORTS, "transport_delta")):
            old = whole_checksum([int(this[name]) for name in fields])
            new = whole_checksum([int(other[name]) for name in fields])
            assert apply_delta(old, int(this[delta])) == new
