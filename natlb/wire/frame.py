"""A frame: where a packet lies in its slot, which way it goes, and its offload form.

Linux hands over and takes back *super-packets*: one header before up to 64 KiB of payload that
the device cuts into segments of `gso_size`, and a transport checksum that the device finishes.
The virtio-net header (virtio 1.2, section 5.1.6) says so; ten octets before each packet on a TUN
device with IFF_VNET_HDR, in the machine's own byte order, which is little-endian wherever natlb
runs (checked by the driver).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from natlb.wire.octets import Octets

Frame: TypeAlias = Any  # one record of FRAME
Frames: TypeAlias = NDArray[np.void]

FRAME = np.dtype(
    [
        ("slot", np.int64),
        ("start", np.int64),  # of the IP header, in the slot
        ("length", np.int64),  # from the IP header on, in octets
        ("way", np.int64),  # in: the side it came in by; out: the way out
        ("needs_checksum", np.int64),  # 1: the transport checksum is the pseudo-header's sum alone
        ("checksum_start", np.int64),  # from the IP header on
        ("checksum_offset", np.int64),  # from `checksum_start` on
        ("gso_type", np.int64),  # GSO_*; GSO_NONE: a single packet
        ("gso_size", np.int64),  # payload octets of a segment
    ]
)

VNET_HEADER = 10
VNET_NEEDS_CSUM = 1
GSO_NONE = 0
GSO_TCP4 = 1
GSO_TCP6 = 4
GSO_UDP_L4 = 5
GSO_ECN = 0x80


@kernel
def set_plain(frame: Frame) -> None:
    """Mark a frame as one finished packet, with nothing left to the device."""
    frame["needs_checksum"] = 0
    frame["checksum_start"] = 0
    frame["checksum_offset"] = 0
    frame["gso_type"] = GSO_NONE
    frame["gso_size"] = 0


@kernel
def _get_le16(slot: Octets, at: int) -> int:
    """Return the little-endian field at `at`."""
    return i64(slot[at]) | i64(slot[at + 1]) << 8


@kernel
def _set_le16(slot: Octets, at: int, value: int) -> None:
    """Write the little-endian field at `at`."""
    slot[at] = value & 0xFF
    slot[at + 1] = (value >> 8) & 0xFF


@kernel
def read_vnet_header(slot: Octets, frame: Frame) -> None:
    """Take a frame's offload form from the header that stands before its packet.

    Nothing is judged: `parse()` compares the form with the packet.
    """
    at = frame["start"] - VNET_HEADER
    frame["needs_checksum"] = i64(slot[at]) & VNET_NEEDS_CSUM
    frame["gso_type"] = i64(slot[at + 1])
    frame["gso_size"] = _get_le16(slot, at + 4)
    frame["checksum_start"] = _get_le16(slot, at + 6)
    frame["checksum_offset"] = _get_le16(slot, at + 8)


@kernel
def write_vnet_header(slot: Octets, frame: Frame, headers: int) -> None:
    """Write the offload form before the packet; `headers` octets of it each segment repeats."""
    at = frame["start"] - VNET_HEADER
    slot[at] = frame["needs_checksum"]
    slot[at + 1] = frame["gso_type"]
    _set_le16(slot, at + 2, headers)
    _set_le16(slot, at + 4, frame["gso_size"])
    _set_le16(slot, at + 6, frame["checksum_start"])
    _set_le16(slot, at + 8, frame["checksum_offset"])


@kernel
def write_outer_vnet_header(slot: Octets, frame: Frame, headers: int, link: int) -> None:
    """Write the offload form before a link header of `link` octets, from which it counts there."""
    at = frame["start"] - link - VNET_HEADER
    shifted = frame["needs_checksum"] * link
    slot[at] = frame["needs_checksum"]
    slot[at + 1] = frame["gso_type"]
    _set_le16(slot, at + 2, headers + link if headers != 0 else 0)
    _set_le16(slot, at + 4, frame["gso_size"])
    _set_le16(slot, at + 6, frame["checksum_start"] + shifted)
    _set_le16(slot, at + 8, frame["checksum_offset"])


@kernel
def read_outer_vnet_header(slot: Octets, frame: Frame, link: int) -> None:
    """Take a frame's offload form from before a link header of `link` octets.

    Nothing is judged, as in `read_vnet_header()`: a start inside the link header is negative.
    """
    at = frame["start"] - link - VNET_HEADER
    needs = i64(slot[at]) & VNET_NEEDS_CSUM
    frame["needs_checksum"] = needs
    frame["gso_type"] = i64(slot[at + 1])
    frame["gso_size"] = _get_le16(slot, at + 4)
    frame["checksum_start"] = _get_le16(slot, at + 6) - needs * link
    frame["checksum_offset"] = _get_le16(slot, at + 8)
