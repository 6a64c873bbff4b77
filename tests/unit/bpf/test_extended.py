from __future__ import annotations

from natlb.bpf.extended import FRAME, R0, R1, R2, R6, R7, Extended


def words(program: Extended) -> list[str]:
    """Return the instructions, each in hex; on a little-endian machine as RFC 9669 shows them."""
    octets = program.assemble()
    return [octets[at : at + 8].hex() for at in range(0, len(octets), 8)]


def test_instructions_are_those_of_llvm() -> None:
    """Octets from `llvm-objdump -d` of the same lines."""
    program = Extended()
    program.do64_with("mov", R6, R1)
    program.load(32, R2, R1, 4)
    program.do("mov", R0, 0)
    program.do64("add", R2, -14)
    program.do_with("xor", R0, R7)
    program.store(32, FRAME, -4, R0)
    program.to_host(16, R0)
    program.load_map(R1, 5)
    program.call(51)
    program.load_packet(16, 12)
    program.load_packet_at(8, R7, 3)
    program.exit()

    assert words(program) == [
        "bf16000000000000",
        "6112040000000000",
        "b400000000000000",
        "07020000f2ffffff",
        "ac70000000000000",
        "630afcff00000000",
        "dc00000010000000",
        "1811000005000000",
        "0000000000000000",
        "8500000033000000",
        "280000000c000000",
        "5070000003000000",
        "9500000000000000",
    ]


def test_jumps_are_counted_from_the_next_instruction() -> None:
    """Forwards and back, and over a map's address, which is two."""
    program = Extended()
    program.label("start")
    program.jump("jeq", R0, 0x800, "end")
    program.jump64("jgt", R2, 7, "end")
    program.load_map(R1, 3)
    program.jump64_with("jgt", R2, R1, "end")
    program.go("start")
    program.label("end")
    program.exit()

    assert words(program) == [
        "1600050000080000",
        "2502040007000000",
        "1811000003000000",
        "0000000000000000",
        "2d12010000000000",
        "0500faff00000000",
        "9500000000000000",
    ]


def test_lines_that_no_way_leads_to_are_left_out() -> None:
    """Jumps over them are shorter then."""
    program = Extended()
    program.jump("jeq", R0, 1, "end")
    program.go("end")
    program.label("nobody")
    program.do("mov", R0, 7)
    program.go("nobody")
    program.label("end")
    program.exit()

    assert words(program) == ["1600010001000000", "0500000000000000", "9500000000000000"]
