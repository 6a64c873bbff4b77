from __future__ import annotations

import struct

import numpy as np
import pytest

from natlb.wire.frame import (
    FRAME,
    GSO_TCP4,
    VNET_HEADER,
    read_outer_vnet_header,
    read_vnet_header,
    set_plain,
    write_outer_vnet_header,
    write_vnet_header,
)
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

START = 128


def test_the_header_before_a_packet_is_read_as_virtio_lays_it_out() -> None:
    """Little-endian, and only NEEDS_CSUM of the flags: DATA_VALID is no promise we make."""
    slot = np.zeros(256, np.uint8)
    header = struct.pack("<BBHHHH", 1 | 2, GSO_TCP4, 54, 1448, 20, 16)
    slot[START - VNET_HEADER : START] = np.frombuffer(header, np.uint8)
    frame = np.zeros(1, FRAME)[0]
    frame["start"] = START

    read_vnet_header(slot, frame)

    names = ("needs_checksum", "gso_type", "gso_size", "checksum_start", "checksum_offset")
    assert [int(frame[name]) for name in names] == [1, GSO_TCP4, 1448, 20, 16]


def test_what_is_written_before_a_packet_is_what_the_kernel_expects() -> None:
    """`hdr_len` is what every segment of a super-packet repeats."""
    slot = np.zeros(256, np.uint8)
    frame = np.zeros(1, FRAME)[0]
    frame["start"] = START
    frame["needs_checksum"], frame["gso_type"], frame["gso_size"] = 1, GSO_TCP4, 0x1234
    frame["checksum_start"], frame["checksum_offset"] = 0x0102, 16

    write_vnet_header(slot, frame, 0x0405)

    written = slot[START - VNET_HEADER : START].tobytes()
    assert written == struct.pack("<BBHHHH", 1, GSO_TCP4, 0x0405, 0x1234, 0x0102, 16)
    assert not slot[: START - VNET_HEADER].any()
    assert not slot[START:].any()


@pytest.mark.parametrize(
    ("needs", "headers", "written"), [(1, 52, (66, 34)), (1, 0, (0, 34)), (0, 0, (0, 20))]
)
def test_before_a_link_header_the_form_counts_from_there(
    needs: int, headers: int, written: tuple[int, int]
) -> None:
    """A packet socket's frames begin with one; where nothing is left to do nothing is moved."""
    slot = np.zeros(256, np.uint8)
    frame = np.zeros(1, FRAME)[0]
    frame["start"] = START
    frame["needs_checksum"], frame["gso_type"], frame["gso_size"] = needs, GSO_TCP4, 1448
    frame["checksum_start"], frame["checksum_offset"] = 20, 16
    write_outer_vnet_header(slot, frame, headers, 14)
    octets = slot[START - 14 - VNET_HEADER : START - 14].tobytes()
    again = np.zeros(1, FRAME)[0]
    again["start"] = START
    read_outer_vnet_header(slot, again, 14)

    form = needs, GSO_TCP4, written[0], 1448, written[1], 16
    assert octets == struct.pack("<BBHHHH", *form)
    again["slot"], again["length"], again["way"] = frame["slot"], frame["length"], frame["way"]
    assert again == frame


def test_a_plain_frame_leaves_nothing_to_the_device() -> None:
    """What natlb sends itself is finished: what the packet that they answer had must not stay."""
    frame = np.ones(1, FRAME)[0]

    set_plain(frame)

    kept = {"slot", "start", "length", "way"}
    assert {name for name in frame.dtype.names if frame[name]} == kept
