from __future__ import annotations

from struct import iter_unpack

import pytest

from natlb.bpf.classic import Code, Instruction, Label, assemble
from natlb.errors import HostError
from tests.bpf_machine import run


def whole(code: Code) -> bytes:
    """Return the program of lines that ask no set."""
    lines = [item for item in code.items if isinstance(item, Instruction | Label)]
    return assemble(lines, what="a test's program", fix="none")


def test_a_program_is_an_array_of_sock_filter() -> None:
    """The octets of tcpdump's `arp`, as in the kernel's networking/filter.rst."""
    code = Code()
    code.do("ldh", 12)
    code.jump("jeq", 0x0806, no="drop")
    code.do("ret", 0xFFFFFFFF)
    code.label("drop")
    code.do("ret", 0)

    assert list(iter_unpack("=HBBI", whole(code))) == [
        (0x28, 0, 0, 12),
        (0x15, 0, 1, 0x806),
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    ]


@pytest.mark.parametrize("between", [0, 1, 250, 252, 253, 254, 255, 256, 257, 300, 1000])
@pytest.mark.parametrize("value", [3, 4])
def test_a_jump_reaches_its_label_at_any_distance(between: int, value: int) -> None:
    """Behind the 255 instructions that a conditional jump can leave out, by a long one."""
    code = Code()
    code.do("ldb", 0)
    code.jump("jeq", 3, yes="three", no="other")
    for _ in range(between):
        code.do("ret", 99)
    code.label("other")
    code.do("ret", 2)
    code.do("ret", 99)
    code.label("three")
    code.do("ret", 1)

    assert run(whole(code), bytes([value])) == (1 if value == 3 else 2)


def test_long_jumps_that_push_others_out_of_reach_are_seen() -> None:
    """A jump that just reached does not any more when one behind it grows."""
    code = Code()
    for at in range(40):
        code.do("ldb", 0)
        code.jump("jeq", at, yes=f"found{at}")
    for _ in range(190):
        code.do("ret", 99)
    for at in reversed(range(40)):
        code.label(f"found{at}")
        code.do("ret", at)

    program = whole(code)

    assert [run(program, bytes([at])) for at in range(41)] == [*range(40), 99]


def test_words_above_the_sign_and_below_zero_are_put_in_32_bits() -> None:
    """A load from SKF_AD_OFF is from a negative place."""
    code = Code()
    code.do("ldi", -1)
    code.do("reta")

    assert run(whole(code), b"") == 0xFFFFFFFF


def test_a_jump_back_is_an_error_of_ours() -> None:
    """Classic BPF has none, and the kernel would only say EINVAL."""
    code = Code()
    code.label("loop")
    code.go("loop")
    with pytest.raises(AssertionError, match="forwards only"):
        whole(code)


def test_what_is_too_long_is_refused_with_what_mends_it() -> None:
    """The kernel takes 4,096 instructions and says EINVAL for more."""
    code = Code()
    for _ in range(4096):
        code.do("ret", 0)
    assert len(whole(code)) == 8 * 4096
    code.do("ret", 0)
    with pytest.raises(HostError, match="4,097 instructions of BPF") as caught:
        whole(code)

    assert caught.value.fix == "none"


def test_fresh_labels_are_fresh() -> None:
    """The same lines stand in a program twice."""
    code = Code()

    assert code.fresh("a") != code.fresh("a")
