"""Classic programs as extended ones: A is R0, X is R7, memory lies on the stack, R6 is the context.

Loads from the packet differ by where the program runs. A socket filter's extended program has the
old ones (`SocketLoads`). An XDP program has pointers instead, each of which the kernel wants to see
compared with the packet's end before it is used (`PointerLoads`); R8 points to the network header,
so programs do not know of Ethernet and tags.

Sets of addresses are searches in the program already (`search.py`), or, in XDP, one map: address to
what it is, as bits (`Known`). Its keys are four words in the machine's order, as in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from natlb.bpf.classic import CONDITIONS, Instruction, Label, Member
from natlb.bpf.extended import FRAME, R0, R1, R2, R3, R6, R7, R8, R9

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from natlb.bpf.classic import Item
    from natlb.bpf.extended import Extended

MEMORY = -64  # of word 0, from the frame pointer
KEY = -96  # of an IPv4 address as a key
MAPPED_LANE = 0xFFFF
FUNCTION_LOOKUP = 1  # Linux: bpf.h, bpf_map_lookup_elem
FARTHEST = 0x7FF  # that headers are looked for from the network header on
LOADS = {"ldw": 32, "ldh": 16, "ldb": 8}


class Loads(Protocol):
    """How a program gets at the packet."""

    def load(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load into R0 from a fixed place."""

    def load_at_x(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load into R0 from X and so many octets."""


class SocketLoads:
    """The loads of socket filters, which end the program with 0 beyond the packet's end."""

    def load(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load into R0 from a fixed place."""
        to.load_packet(bits, offset)

    def load_at_x(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load into R0 from X and so many octets."""
        to.load_packet_at(bits, R7, offset)


@dataclass(frozen=True, slots=True)
class PointerLoads:
    """Loads by R8, the network header, up to R9, the packet's end; beyond it is `short`."""

    short: str

    def load(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load into R0 from a fixed place."""
        to.do64_with("mov", R3, R8)
        self._load(to, bits, offset)

    def load_at_x(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load into R0 from X and so many octets."""
        to.do_with("mov", R2, R7)
        to.jump64("jgt", R2, FARTHEST, self.short)
        to.do64_with("mov", R3, R8)
        to.do64_with("add", R3, R2)
        self._load(to, bits, offset)

    def _load(self, to: Extended, bits: int, offset: int) -> None:
        """Add a load from R3 and so many octets, once R9 says that they are there."""
        to.do64_with("mov", R1, R3)
        to.do64("add", R1, offset + bits // 8)
        to.jump64_with("jgt", R1, R9, self.short)
        to.load(bits, R0, R3, offset)
        if bits > 8:
            to.to_host(bits, R0)


@dataclass(frozen=True, slots=True)
class Known:
    """A map of addresses, and which bits of its values say that one is of a set."""

    map_fd: int
    bits: Mapping[str, int]

    def ask(self, to: Extended, question: Member) -> None:
        """Add what jumps by whether an address is of a set; R0 to R5 are lost."""
        key = MEMORY
        if question.version == 4:
            key = KEY
            to.store(32, FRAME, KEY + 12, R0)
            for place, number in ((0, 0), (4, 0), (8, MAPPED_LANE)):
                to.do("mov", R1, number)
                to.store(32, FRAME, KEY + place, R1)
        to.load_map(R1, self.map_fd)
        to.do64_with("mov", R2, FRAME)
        to.do64("add", R2, key)
        to.call(FUNCTION_LOOKUP)
        to.jump64("jeq", R0, 0, question.no)
        to.load(32, R1, R0, 0)
        to.jump("jset", R1, self.bits[question.of], question.yes)
        to.go(question.no)


def begin_filter(to: Extended) -> None:
    """Keep the context where loads of socket filters look for it."""
    to.do64_with("mov", R6, R1)


def translate(
    items: Iterable[Item], to: Extended, loads: Loads, known: Known | None = None
) -> None:
    """Add a classic program's lines; labels stay what they are."""
    for item in items:
        if isinstance(item, Label):
            to.label(item.name)
        elif isinstance(item, Member):
            assert known is not None, "a question about a set, and no map to look into"
            known.ask(to, item)
        elif item.name.removesuffix("x") in LOADS:
            _translate_load(item, to, loads)
        else:
            _translate(item, to)


def _translate_load(line: Instruction, to: Extended, loads: Loads) -> None:
    bits = LOADS[line.name.removesuffix("x")]
    load = loads.load_at_x if line.name.endswith("x") else loads.load
    load(to, bits, line.k)


def _translate(line: Instruction, to: Extended) -> None:
    """Add what does not touch the packet."""
    match line.name:
        case "ldi" | "ldxi":
            to.do("mov", R0 if line.name == "ldi" else R7, line.k)
        case "ldm" | "ldxm":
            to.load(32, R0 if line.name == "ldm" else R7, FRAME, MEMORY + 4 * line.k)
        case "st" | "stx":
            to.store(32, FRAME, MEMORY + 4 * line.k, R0 if line.name == "st" else R7)
        case "tax":
            to.do_with("mov", R7, R0)
        case "txa":
            to.do_with("mov", R0, R7)
        case "addx" | "xorx":
            to.do_with(line.name.removesuffix("x"), R0, R7)
        case "ret" | "reta":
            if line.name == "ret":
                to.do("mov", R0, line.k)
            to.exit()
        case _:
            _translate_choice(line, to)


def _translate_choice(line: Instruction, to: Extended) -> None:
    """Add a jump, or arithmetic with a number."""
    if line.name == "ja":
        to.go(str(line.yes))
    elif line.name in CONDITIONS:
        _translate_condition(line, to)
    else:
        to.do(line.name, R0, line.k)


def _translate_condition(line: Instruction, to: Extended) -> None:
    """Add a jump by a condition on A, which has one way and goes on with the next line."""
    if line.yes is not None:
        to.jump(line.name, R0, line.k, line.yes)
        if line.no is not None:
            to.go(line.no)
        return
    after = f"after.{len(to.lines)}"
    to.jump(line.name, R0, line.k, after)
    to.go(str(line.no))
    to.label(after)
