"""Codes of checks, and the words for them."""

from __future__ import annotations

from natlb.control.health.codes import PASSING, WORDS, Code
from tests.test_docs import rows


def test_every_code_is_in_the_docs_with_its_words() -> None:
    """Whoever sees one looks it up."""
    told = {row[0].strip("`"): row[1] for row in rows("docs/operations.md", "check codes")}

    assert told == {code.value: words for code, words in WORDS.items()}
    assert set(WORDS) == set(Code)


def test_a_code_that_passes_says_so() -> None:
    """HAProxy's codes do."""
    assert {code.value for code in PASSING} == {each for each in Code if each.endswith("OK")}
