"""What tests that load programs into the kernel have in common."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from natlb.bpf.system import MapKind, create_map
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from collections.abc import Iterator

MACS = bytes.fromhex("020000000002020000000001")


def needs_bpf() -> None:
    """Skip where this process may not load programs."""
    try:
        os.close(create_map(MapKind.ARRAY, 4, 4, 1, "natlb_test", fix="run as root"))
    except NatlbError as error:
        pytest.skip(f"loads programs into the kernel: {error}")


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def frame_with(packet: bytes, tag: bytes = b"") -> bytes:
    """Return an Ethernet frame with a packet of any kind."""
    version = packet[0] >> 4 if packet else 0
    return MACS + tag + {4: b"\x08\x00", 6: b"\x86\xdd"}.get(version, b"\x08\x06") + packet
