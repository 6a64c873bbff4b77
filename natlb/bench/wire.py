"""A stand's wires: who is at the other end, what came over one, and who makes checksums there."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from pathlib import Path

from natlb.bench.results import MeasureError

SIOCETHTOOL = 0x8946  # Linux: sockios.h
ETHTOOL_STXCSUM = 0x17  # Linux: ethtool.h
NAME_OCTETS = 16  # Linux: if.h, IFNAMSIZ


def received_by(interface: str) -> int:
    """Return how many packets an interface of this thread's namespace has received."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            return int(counts.split()[1])
    raise MeasureError(f"no interface {interface}")


def make_sums(interface: str) -> None:
    """Have this thread's namespace make the checksums of what an interface sends.

    Over veth they are else left half-made for hardware that is not there, and an XDP socket at the
    other end cannot see that they are. Segmentation offload goes with it.
    """
    value = (ctypes.c_uint32 * 2)(ETHTOOL_STXCSUM, 0)
    request = struct.pack(f"{NAME_OCTETS}sP", interface.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            fcntl.ioctl(asked, SIOCETHTOOL, request.ljust(40, b"\0"))
        except OSError as error:
            why = f"checksum offload of {interface} stays on: {error.strerror}"
            raise MeasureError(why) from error
