"""Kernels called one by one, which only plain Python can: compiled, they are called as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from natlb import jit
from natlb.wire.frame import FRAME
from natlb.wire.parse import parse
from natlb.wire.parsed import PARSED


def why_not_one_by_one() -> str:
    """Return why kernels cannot be called from Python here, or nothing."""
    if jit.COMPILED and not jit.CALLABLE:
        return "kernels are called one by one with NATLB_JIT=0, or NATLB_KERNELS=callable"
    return ""


def octets(packet: bytes) -> Any:
    """Return a packet as kernels see it."""
    return np.frombuffer(bytearray(packet), np.uint8)


def frame_of(packet: bytes, **form: int) -> Any:
    """Return the frame of a packet that lies at the start of its slot, with this offload form."""
    frame = np.zeros(1, FRAME)[0]
    frame["length"] = len(packet)
    for name, value in form.items():
        frame[name] = value
    return frame


def parsed_of(packet: bytes, **form: int) -> Any:
    """Return what `parse()` makes of a packet in this offload form."""
    parsed = np.zeros(1, PARSED)[0]
    parse(octets(packet), frame_of(packet, **form), parsed)
    return parsed
