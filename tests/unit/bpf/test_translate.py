from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from natlb.bpf.classic import CONDITIONS, Code, Instruction, Label, assemble
from natlb.bpf.extended import Extended
from natlb.bpf.redirect import key_of
from natlb.bpf.search import with_searches
from natlb.bpf.system import MapKind, ProgramKind, answer_to, create_map, load_program, update
from natlb.bpf.translate import Known, PointerLoads, SocketLoads, begin_filter, translate
from tests.bpf_kernel import closing, frame_with, needs_bpf
from tests.bpf_machine import run
from tests.bpf_packets import BACKENDS, SOURCES, VIPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.bpf.classic import Item

FIX = "none"
NUMBERS = (0, 1, 2, 5, 14, 31, 255, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.fixture(autouse=True)
def bpf() -> None:
    """Skip where this process may not load programs: the kernel is the judge here."""
    needs_bpf()


def random_line(code: Code) -> None:
    """Add a line that any program may have."""
    kind = random.choice(("load", "arithmetic", "shift", "memory", "index", "jump", "x"))
    if kind == "load":
        code.do(random.choice(("ldw", "ldh", "ldb")), random.randrange(40))
    elif kind == "x":
        code.do("and", 0x1F)
        code.do("tax")
        code.do(random.choice(("ldwx", "ldhx", "ldbx")), random.randrange(20))
    elif kind == "arithmetic":
        code.do(random.choice(("add", "mul", "and", "or")), random.choice(NUMBERS))
        code.do("mod", random.choice(NUMBERS[1:]))
    elif kind == "shift":
        code.do(random.choice(("lsh", "rsh")), random.randrange(32))
    elif kind == "memory":
        code.do(random.choice(("st", "stx", "ldm", "ldxm")), random.randrange(6))
    elif kind == "index":
        code.do(random.choice(("tax", "txa", "addx", "xorx", "ldi", "ldxi")), 7)
    else:
        random_jump(code)


def random_jump(code: Code) -> None:
    """Add a jump over a line, by either way or both."""
    over = code.fresh("over")
    ways = random.choice(({"yes": over}, {"no": over}, {"yes": over, "no": over}))
    code.jump(random.choice(CONDITIONS), random.choice(NUMBERS), **ways)
    code.do("add", 3)
    code.label(over)


def random_program() -> list[Instruction | Label]:
    """Return lines in which all memory was written."""
    code = Code()
    code.do("ldi", random.choice(NUMBERS))
    code.do("tax")
    for word in range(6):
        code.do("st", word)
    for _ in range(30):
        random_line(code)
    code.do("reta")
    return [item for item in code.items if isinstance(item, Instruction | Label)]


def test_a_translated_program_answers_as_the_classic_one() -> None:
    """All instructions, in any order, on packets that end where a load may be."""
    answers = set()
    for _ in range(60):
        lines = random_program()
        classic, program = assemble(lines, what="", fix=""), Extended()
        begin_filter(program)
        translate(lines, program, SocketLoads())
        loaded = load_program(ProgramKind.SOCKET_FILTER, program.assemble(), "natlb_test", fix=FIX)
        with closing(loaded):
            for length in (20, 40, 60):
                packet = b"\x45" + random.randbytes(length - 1)
                answers.add(answer_to(loaded, frame_with(packet)))

                assert answer_to(loaded, frame_with(packet)) == run(classic, packet)
    assert len(answers) > 20


def xdp(lines: Sequence[Item], known: Known | None = None) -> bytes:
    """Return the XDP program that answers what classic lines do; 77 for a packet too short."""
    program = Extended()
    program.do64_with("mov", 6, 1)
    program.load(32, 8, 6, 0)
    program.load(32, 9, 6, 4)
    translate(lines, program, PointerLoads("short"), known)
    program.label("short")
    program.do("mov", 0, 77)
    program.exit()
    return program.assemble()


def test_loads_by_pointer_are_those_of_the_packet() -> None:
    """To the last octet, and not beyond it; nor farther than headers go."""
    packet = random.randbytes(80)
    for name, octets in (("ldw", 4), ("ldh", 2), ("ldb", 1)):
        for at in (0, 3, 80 - octets, 80 - octets + 1, 100):
            fixed = [Instruction(name, at), Instruction("reta")]
            index = [
                Instruction("ldxi", at - at // 2),
                Instruction(f"{name}x", at // 2),
                Instruction("reta"),
            ]
            found = packet[at : at + octets]
            expected = int.from_bytes(found) if len(found) == octets else 77
            for lines in (fixed, index):
                with closing(load_program(ProgramKind.XDP, xdp(lines), "t", fix=FIX)) as loaded:
                    assert answer_to(loaded, packet) == expected, (name, at)
    far = [Instruction("ldxi", 0x800), Instruction("ldbx"), Instruction("reta")]
    with closing(load_program(ProgramKind.XDP, xdp(far), "t", fix=FIX)) as loaded:
        assert answer_to(loaded, bytes(3000)) == 77


@pytest.mark.parametrize("version", [4, 6])
def test_a_map_knows_the_addresses_that_a_search_knows(version: int) -> None:
    """With a bit for each set."""
    code = Code()
    if version == 4:
        code.do("ldw", 0)
        code.member4("vips", yes="yes", no="no")
    else:
        for lane in range(4):
            code.do("ldw", 4 * lane)
            code.do("st", lane)
        code.member6("vips", yes="yes", no="no")
    for label, answer in (("no", 0), ("yes", 1)):
        code.label(label)
        code.do("ret", answer)
    classic = assemble(with_searches(code.items, {"vips": VIPS}), what="", fix="")
    with closing(create_map(MapKind.HASH, 16, 4, 500, "natlb_test", fix=FIX)) as table:
        for bit, addresses in ((1, VIPS), (2, SOURCES)):
            for address in addresses:
                update(table, key_of(address), bytes([bit, 0, 0, 0]))
        program = xdp(code.items, Known(table, {"vips": 1}))
        with closing(load_program(ProgramKind.XDP, program, "natlb_test", fix=FIX)) as loaded:
            for address in (*VIPS, *SOURCES, *BACKENDS):
                if address.version == version:
                    packet = address.packed + bytes(20)

                    assert answer_to(loaded, packet) == run(classic, packet) == (address in VIPS)
