from __future__ import annotations

import pytest

from natlb.control.policy.program_source import (
    MOST_OCTETS,
    ProgramError,
    ProgramSource,
    check_program,
    decode_program,
    line_of,
)

TEXT = "X = 1\n\n\ndef pick(pool, flow):\n    return 0\n"


def source(text: str, function: str = "pick") -> ProgramSource:
    """Return a program of this text."""
    return ProgramSource(file="mine.py", function=function, text=text)


def test_its_identity_is_what_it_does() -> None:
    """Text and function, not the file's name."""
    named = ProgramSource(file="other.py", function="pick", text=TEXT)

    assert source(TEXT).identity == named.identity
    assert (
        len({source(TEXT).identity, source(TEXT + "#").identity, source(TEXT, "a").identity}) == 3
    )
    assert 0 <= source(TEXT).identity < 1 << 62


def test_the_place_of_the_function_is_known() -> None:
    """What is wrong with its answers is told there."""
    check_program(source(TEXT))

    assert line_of(source(TEXT)) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def pick(pool, flow)\n    return 0", "mine.py:1:21: expected ':'"),
        ("def pick(pool, flow):\n    return open()", "mine.py:2:12: calls 'open'"),
        ("#" * (MOST_OCTETS + 1), "more than 64 KiB"),
        ("x = '\0'", "null"),
        ("x = " + "(" * 5000, "mine.py:1"),
        ("x = " + "-" * 60000 + "1", "mine.py:1"),
        ("x = '\ud800'", "mine.py"),
    ],
)
def test_whatever_it_is_is_told_with_its_place(text: str, said: str) -> None:
    """No other error ever."""
    with pytest.raises(ProgramError) as caught:
        check_program(source(text))

    assert said in caught.value.message
    assert caught.value.fix == "mend the policy, then: natlb validate FILE"


def test_text_is_utf8() -> None:
    """With or without a mark; else the line is told."""
    assert decode_program(b"\xef\xbb\xbfX = 1\n", "mine.py") == "X = 1\n"
    with pytest.raises(ProgramError, match=r"mine\.py:2:1: not UTF-8"):
        decode_program(b"X = 1\n\xff", "mine.py")
    with pytest.raises(ProgramError, match="64 KiB"):
        decode_program(b"#" * (MOST_OCTETS + 1), "mine.py")
