"""Classic BPF: an assembler with labels and sets of addresses (Linux: networking/filter.rst).

A machine with an accumulator A, an index X and sixteen words of memory, all of 32 bits. Jumps go
forwards only, so every program ends; a load from beyond the packet's end returns 0 at once.

    code = Code()
    code.do("ldh", 12)                      # A = the half-word at 12
    code.jump("jeq", 0x0800, no="other")    # both ways may be named; unnamed is the next line
    code.do("ldw", 30)
    code.member4("vips", yes="ours", no="other")

`member4` asks whether A is an IPv4 address of a set, `member6` whether the first four words of
memory are an IPv6 address of one. Here they become a binary search over the set's addresses, in
the program itself; A is not defined behind them. A jump that is too far for its 8 bits goes on by
a long one: nobody who writes a program counts lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING

from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_INSTRUCTIONS = 4096  # Linux: bpf_common.h, BPF_MAXINSNS
FARTHEST = 255  # of a conditional jump
WORD = 0xFFFFFFFF

# Linux: bpf_common.h. `x` at the end is the index register, `m` the memory, `i` the number itself;
# a load with `x` is from X + k.
OPCODES = {
    "ldw": 0x20,
    "ldh": 0x28,
    "ldb": 0x30,
    "ldwx": 0x40,
    "ldhx": 0x48,
    "ldbx": 0x50,
    "ldi": 0x00,
    "ldm": 0x60,
    "ldxi": 0x01,
    "ldxm": 0x61,
    "st": 0x02,
    "stx": 0x03,
    "add": 0x04,
    "addx": 0x0C,
    "mul": 0x24,
    "mod": 0x94,
    "or": 0x44,
    "and": 0x54,
    "lsh": 0x64,
    "rsh": 0x74,
    "xorx": 0xAC,
    "ja": 0x05,
    "jeq": 0x15,
    "jgt": 0x25,
    "jge": 0x35,
    "jset": 0x45,
    "ret": 0x06,
    "reta": 0x16,
    "tax": 0x07,
    "txa": 0x87,
}
CONDITIONS = ("jeq", "jgt", "jge", "jset")

# Linux: filter.h, SKF_AD_OFF + SKF_AD_PKTTYPE. Loads from there are of what the kernel knows.
PACKET_TYPE = -0x1000 + 4


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; a jump goes to labels."""

    name: str
    k: int = 0
    yes: str | None = None
    no: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """The question whether an address is one of a set."""

    version: int
    of: str
    yes: str
    no: str


@dataclass(frozen=True, slots=True)
class Label:
    """A place that jumps may go to."""

    name: str


Item = Instruction | Member | Label


class Code:
    """A program as it is written, line by line."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.items: list[Item] = []
        self._fresh = 0

    def do(self, name: str, k: int = 0) -> None:
        """Add an instruction that does not jump."""
        self.items.append(Instruction(name, k))

    def jump(self, name: str, k: int, *, yes: str | None = None, no: str | None = None) -> None:
        """Add a jump by a condition on A."""
        self.items.append(Instruction(name, k, yes, no))

    def go(self, label: str) -> None:
        """Add a jump."""
        self.items.append(Instruction("ja", 0, yes=label))

    def member4(self, of: str, *, yes: str, no: str) -> None:
        """Ask whether A is an IPv4 address of a set."""
        self.items.append(Member(4, of, yes, no))

    def member6(self, of: str, *, yes: str, no: str) -> None:
        """Ask whether words 0 to 3 of memory are an IPv6 address of a set."""
        self.items.append(Member(6, of, yes, no))

    def label(self, name: str) -> None:
        """Name this place."""
        self.items.append(Label(name))

    def fresh(self, word: str) -> str:
        """Return a label that no other line of this program has."""
        self._fresh += 1
        return f"{word}.{self._fresh}"

    def extend(self, items: list[Item]) -> None:
        """Add lines made elsewhere."""
        self.items.extend(items)


def returns(k: int) -> Instruction:
    """Return the instruction that ends the program with a number."""
    return Instruction("ret", k)


def assemble(lines: Sequence[Instruction | Label], *, what: str, fix: str) -> bytes:
    """Return the program as an array of `struct sock_filter`, in the machine's order.

    HostError where it is longer than the kernel takes: `what` is too much, `fix` mends it.
    """
    far: set[tuple[int, str]] = set()
    while True:
        places, length = _place(lines, far)
        if length > MOST_INSTRUCTIONS:
            most = f"{MOST_INSTRUCTIONS:,}"
            message = f"{what}: {length:,} instructions of BPF, and the kernel takes {most}"
            raise HostError(message, fix=fix)
        added = _too_far(lines, places, far)
        if not added:
            return b"".join(_encode(lines, places, far))
        far |= added


def _place(
    lines: Sequence[Instruction | Label], far: set[tuple[int, str]]
) -> tuple[dict[int | str, int], int]:
    """Return where each line and label is, and the length, with the long jumps known so far."""
    places: dict[int | str, int] = {}
    at = 0
    for number, line in enumerate(lines):
        if isinstance(line, Label):
            places[line.name] = at
        else:
            places[number] = at
            at += 1 + ((number, "yes") in far) + ((number, "no") in far)
    return places, at


def _too_far(
    lines: Sequence[Instruction | Label], places: dict[int | str, int], far: set[tuple[int, str]]
) -> set[tuple[int, str]]:
    """Return the ways of conditional jumps that need a long one and have none yet."""
    found = set()
    for number, line in enumerate(lines):
        if isinstance(line, Label) or line.name not in CONDITIONS:
            continue
        for way, label in (("yes", line.yes), ("no", line.no)):
            if label is None or (number, way) in far:
                continue
            # Long jumps of its own lie between: two at the most.
            if places[label] - places[number] - 1 > FARTHEST:
                found.add((number, way))
    return found


def _encode(
    lines: Sequence[Instruction | Label], places: dict[int | str, int], far: set[tuple[int, str]]
) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if isinstance(line, Label):
            continue
        at = places[number]
        if line.name in CONDITIONS:
            yield from _encode_condition(line, number, places, far)
        elif line.name == "ja":
            yield _words("ja", 0, 0, _distance(places, line.yes, at + 1))
        else:
            yield _words(line.name, 0, 0, line.k)


def _encode_condition(
    line: Instruction,
    number: int,
    places: dict[int | str, int],
    far: set[tuple[int, str]],
) -> Iterator[bytes]:
    """Yield a conditional jump, and behind it the long jumps for ways that are too far."""
    after = places[number] + 1
    ways = ("yes", line.yes), ("no", line.no)
    long = [label for way, label in ways if (number, way) in far]
    near = {
        way: long.index(label) if (number, way) in far else _distance(places, label, after)
        for way, label in ways
        if label is not None
    }
    yield _words(line.name, near.get("yes", len(long)), near.get("no", len(long)), line.k)
    for place, label in enumerate(long):
        yield _words("ja", 0, 0, _distance(places, label, after + place + 1))


def _distance(places: dict[int | str, int], label: str | None, after: int) -> int:
    """Return how many instructions a jump to a label leaves out."""
    assert label is not None, "a jump without a label"
    distance = places[label] - after
    assert distance >= 0, f"{label}: classic BPF jumps forwards only"
    return distance


def _words(name: str, yes: int, no: int, k: int) -> bytes:
    return pack("=HBBI", OPCODES[name], yes, no, k & WORD)
