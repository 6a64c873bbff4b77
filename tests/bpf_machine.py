"""A machine for classic BPF in plain Python: the judge of programs where the kernel is not asked.

By the words of the kernel's networking/filter.rst: 32-bit unsigned arithmetic, jumps forwards, a
load from beyond the packet's end returns 0 at once. A load from 0xfffff004 is of the packet's type.
"""

from __future__ import annotations

import operator
from struct import iter_unpack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WORD = 0xFFFFFFFF
PACKET_TYPE = 0xFFFFF004
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
ARITHMETIC: dict[int, Callable[[int, int], int]] = {
    0x00: operator.add,
    0x10: operator.sub,
    0x20: operator.mul,
    0x30: operator.floordiv,
    0x40: operator.or_,
    0x50: operator.and_,
    0x60: operator.lshift,
    0x70: operator.rshift,
    0x90: operator.mod,
    0xA0: operator.xor,
}
CONDITIONS: dict[int, Callable[[int, int], bool]] = {
    0x10: operator.eq,
    0x20: operator.gt,
    0x30: operator.ge,
    0x40: lambda a, b: bool(a & b),
}


class Machine:
    """A program as it runs on one packet."""

    def __init__(self, program: bytes, packet: bytes, packet_type: int) -> None:
        """Begin at the first instruction."""
        self.lines = list(iter_unpack("=HBBI", program))
        self.packet = packet
        self.packet_type = packet_type
        self.a = self.x = self.at = self.steps = 0
        self.memory: dict[int, int] = {}

    def run(self) -> int:
        """Return what the program returns."""
        while True:
            code, yes, no, k = self.lines[self.at]
            self.at += 1
            self.steps += 1
            kind = code & 0x07
            if kind == 0x06:
                return self.a if code & 0x10 else k
            if kind in (0x00, 0x01):
                value = self.load(code, k)
                if value is None:
                    return 0
                self.keep(kind, value)
            elif kind in (0x02, 0x03):
                self.memory[k] = self.a if kind == 0x02 else self.x
            elif kind == 0x04:
                other = self.x if code & 0x08 else k
                self.a = ARITHMETIC[code & 0xF0](self.a, other) & WORD
            elif kind == 0x05:
                self.jump(code, yes, no, k)
            elif code & 0x80:
                self.a = self.x
            else:
                self.x = self.a

    def keep(self, kind: int, value: int) -> None:
        """Put what was loaded where it belongs."""
        if kind == 0x00:
            self.a = value
        else:
            self.x = value

    def load(self, code: int, k: int) -> int | None:
        """Return what is loaded, or nothing beyond the packet's end."""
        mode = code & 0xE0
        if mode == 0x00:
            return k
        if mode == 0x60:
            return self.memory[k]  # what was never stored is an error in the program
        if mode == 0x20 and k == PACKET_TYPE:
            return self.packet_type
        size = SIZES[code & 0x18]
        start = k + (self.x if mode == 0x40 else 0)
        found = self.packet[start : start + size]
        return int.from_bytes(found) if len(found) == size else None

    def jump(self, code: int, yes: int, no: int, k: int) -> None:
        """Go on elsewhere, forwards."""
        if code & 0xF0 == 0x00:
            self.at += k
        else:
            self.at += yes if CONDITIONS[code & 0xF0](self.a, k) else no


def run(program: bytes, packet: bytes, packet_type: int = 0) -> int:
    """Return what a classic program returns for a packet."""
    return Machine(program, packet, packet_type).run()
