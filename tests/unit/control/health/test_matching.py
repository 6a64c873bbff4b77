"""Regular expressions that a hostile text must not make endless."""

from __future__ import annotations

import time

import pytest

from natlb.control.health.matching import TooCostlyError, found


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("ok", b"all ok", True),
        ("^ok$", b"all ok", False),
        ("grün", "alles grün".encode(), True),
        ("end$", b"x" * 10_000 + b"end", True),
        ("^x{4096}$", b"x" * 10_000, False),
        (r"\x00\xff", b"\x00\xff", True),
    ],
)
def test_an_expression_is_looked_for_in_octets(pattern: str, text: bytes, expected: bool) -> None:
    """In the whole of them, however they are gone through."""
    assert found(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("(a+)+$", b"a" * 60 + b"b"), (".*x", b"a" * 65_536), ("a*a*a*b", b"a" * 65_536)],
)
def test_an_expression_that_does_not_end_is_ended(pattern: str, text: bytes) -> None:
    """The first would take years, the second seconds; control has other things to do."""
    begun = time.process_time()
    with pytest.raises(TooCostlyError):
        found(pattern, text)

    assert time.process_time() - begun < 2


def test_one_that_was_ended_leaves_nothing_behind() -> None:
    """No timer rings into what comes next."""
    with pytest.raises(TooCostlyError):
        found("(a+)+$", b"a" * 60 + b"b")
    begun = time.process_time()
    while time.process_time() - begun < 0.1:
        assert found("a", b"a")
