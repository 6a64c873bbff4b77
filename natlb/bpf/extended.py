"""Extended BPF: an assembler with labels (RFC 9669).

Ten registers of 64 bits and a frame pointer. R0 is what a call or the program returns, R1 to R5
are a call's arguments and lost in it, R6 to R9 stay, R10 points behind the program's 512 octets of
stack. Arithmetic here is in 32 bits unless it says otherwise: the upper half becomes zero.
"""

from __future__ import annotations

from struct import pack

R0, R1, R2, R3, R6, R7, R8, R9, FRAME = 0, 1, 2, 3, 6, 7, 8, 9, 10
WORD = 0xFFFFFFFF

WIDTHS = {8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18}
ARITHMETIC = {
    "add": 0x00,
    "mul": 0x20,
    "or": 0x40,
    "and": 0x50,
    "lsh": 0x60,
    "rsh": 0x70,
    "mod": 0x90,
    "xor": 0xA0,
    "mov": 0xB0,
}
CONDITIONS = {"jeq": 0x10, "jgt": 0x20, "jge": 0x30, "jset": 0x40, "jne": 0x50}

# RFC 9669 section 4: classes, sources, modes
CLASS_LOAD, CLASS_STORE, CLASS_JUMP, CLASS_ALU32, CLASS_JUMP32, CLASS_ALU64 = 1, 3, 5, 4, 6, 7
BY_REGISTER = 0x08
FROM_MEMORY, FROM_PACKET, FROM_PACKET_AND_REGISTER = 0x60, 0x20, 0x40
JUMP_ALWAYS, CALL, EXIT = 0x05, 0x85, 0x95
TO_BIG_ENDIAN = 0xDC
LOAD_NUMBER, OF_A_MAP = 0x18, 1

Line = tuple[int, int, int, str | int, int]
"""Opcode, destination, source, offset or the label that stands for it, number."""


class Extended:
    """A program as it is written, line by line."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[Line] = []
        self.places: dict[str, int] = {}

    def label(self, name: str) -> None:
        """Name this place."""
        self.places[name] = len(self.lines)

    def do(self, operation: str, to: int, number: int) -> None:
        """Add arithmetic with a number, in 32 bits."""
        self._add(CLASS_ALU32 | ARITHMETIC[operation], to, number=number)

    def do_with(self, operation: str, to: int, register: int) -> None:
        """Add arithmetic with a register, in 32 bits."""
        self._add(CLASS_ALU32 | BY_REGISTER | ARITHMETIC[operation], to, register)

    def do64(self, operation: str, to: int, number: int) -> None:
        """Add arithmetic with a number, in 64 bits: that of addresses."""
        self._add(CLASS_ALU64 | ARITHMETIC[operation], to, number=number)

    def do64_with(self, operation: str, to: int, register: int) -> None:
        """Add arithmetic with a register, in 64 bits."""
        self._add(CLASS_ALU64 | BY_REGISTER | ARITHMETIC[operation], to, register)

    def load(self, bits: int, to: int, register: int, offset: int) -> None:
        """Load from memory at a register."""
        self._add(CLASS_LOAD | FROM_MEMORY | WIDTHS[bits], to, register, offset)

    def store(self, bits: int, register: int, offset: int, of: int) -> None:
        """Store a register into memory at another."""
        self._add(CLASS_STORE | FROM_MEMORY | WIDTHS[bits], register, of, offset)

    def load_packet(self, bits: int, offset: int) -> None:
        """Load from the packet into R0, in the machine's order; R6 is the context (legacy).

        For socket filters. Beyond the end the program ends with 0. R1 to R5 are lost.
        """
        self._add(FROM_PACKET | WIDTHS[bits], 0, number=offset)

    def load_packet_at(self, bits: int, register: int, offset: int) -> None:
        """Load from the packet at a register and so many octets, as `load_packet`."""
        self._add(FROM_PACKET_AND_REGISTER | WIDTHS[bits], 0, register, number=offset)

    def to_host(self, bits: int, register: int) -> None:
        """Turn a number of the network's order into one of the machine's, or back."""
        self._add(TO_BIG_ENDIAN, register, number=bits)

    def load_map(self, to: int, map_fd: int) -> None:
        """Load a map's address; it takes two instructions."""
        self._add(LOAD_NUMBER, to, OF_A_MAP, number=map_fd)
        self._add(0)

    def call(self, function: int) -> None:
        """Call one of the kernel's functions."""
        self._add(CALL, number=function)

    def go(self, label: str) -> None:
        """Jump."""
        self._add(JUMP_ALWAYS, offset=label)

    def jump(self, condition: str, register: int, number: int, label: str) -> None:
        """Jump if a register's lower 32 bits and a number are so."""
        self._add(CLASS_JUMP32 | CONDITIONS[condition], register, offset=label, number=number)

    def jump64(self, condition: str, register: int, number: int, label: str) -> None:
        """Jump if a whole register and a number are so."""
        self._add(CLASS_JUMP | CONDITIONS[condition], register, offset=label, number=number)

    def jump64_with(self, condition: str, register: int, other: int, label: str) -> None:
        """Jump if two whole registers are so."""
        self._add(CLASS_JUMP | BY_REGISTER | CONDITIONS[condition], register, other, label)

    def exit(self) -> None:
        """End with R0."""
        self._add(EXIT)

    def _add(
        self, code: int, to: int = 0, register: int = 0, offset: str | int = 0, number: int = 0
    ) -> None:
        self.lines.append((code, to, register, offset, number))

    def assemble(self) -> bytes:
        """Return the program as an array of `struct bpf_insn`, in the machine's order.

        What no way leads to is left out: an empty set makes such lines, and the kernel refuses
        them.
        """
        kept = sorted(self._reached())
        where = {line: at for at, line in enumerate(kept)}
        return b"".join(self._encode(line, where) for line in kept)

    def _encode(self, line: int, where: dict[int, int]) -> bytes:
        code, to, register, offset, number = self.lines[line]
        if isinstance(offset, str):
            offset = where[self.places[offset]] - where[line] - 1
        return pack("=BBhI", code, to | register << 4, offset, number & WORD)

    def _reached(self) -> set[int]:
        """Return the lines that some way leads to."""
        found: set[int] = set()
        begins = [0]
        while begins:
            line = begins.pop()
            while line not in found:
                found.add(line)
                code, _, _, offset, _ = self.lines[line]
                if isinstance(offset, str):
                    begins.append(self.places[offset])
                if code in (JUMP_ALWAYS, EXIT):
                    break
                line += 1
        return found
