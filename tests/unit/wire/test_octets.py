from __future__ import annotations

import numpy as np
import pytest

from natlb.wire.octets import get_u8, get_u16, get_u32, set_u8, set_u16, set_u32
from tests.kernels import needs_plain_kernels, octets

needs_plain_kernels()


def test_fields_are_read_in_network_order() -> None:
    """NumPy's uint8 would wrap at the shift: 0x12 << 8 is 0 in eight bits."""
    packet = octets(bytes.fromhex("fe12345678ff"))

    assert get_u8(packet, 0) == 0xFE
    assert get_u16(packet, 1) == 0x1234
    assert get_u32(packet, 1) == 0x12345678


@pytest.mark.parametrize("value", [0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x80000000, 0xFFFFFFFF])
def test_what_is_written_is_read_again(value: int) -> None:
    """Also where the highest bit is set, and no octet beside the field changes."""
    packet = np.full(8, 0xAA, np.uint8)
    set_u32(packet, 2, value)
    assert get_u32(packet, 2) == value
    set_u16(packet, 2, value & 0xFFFF)
    assert get_u16(packet, 2) == value & 0xFFFF
    set_u8(packet, 2, value & 0xFF)
    assert get_u8(packet, 2) == value & 0xFF

    assert packet[:2].tolist() + packet[6:].tolist() == [0xAA] * 4


def test_what_is_too_wide_for_a_field_is_cut() -> None:
    """An OverflowError in the middle of a rewrite would leave half a packet."""
    packet = np.zeros(4, np.uint8)
    set_u32(packet, 0, 0x1_2345_6789)
    assert get_u32(packet, 0) == 0x23456789
    set_u16(packet, 0, 0x1_2345)
    assert get_u16(packet, 0) == 0x2345
    set_u8(packet, 0, 0x123)

    assert get_u8(packet, 0) == 0x23


def test_a_field_past_the_end_is_an_error() -> None:
    """The second net behind `parse()`: bounds are checked, compiled too."""
    with pytest.raises(IndexError):
        get_u16(octets(b"\x01"), 0)
