"""Every row has tests, every test a row, and the report says what came of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.report import Seen, page
from tests.conformance.rows import ROWS, Row

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "conformance.md"


def marks() -> set[str]:
    """Return the rows that tests carry."""
    found = set()
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.conformance":
                found |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
    return found


def test_every_row_has_a_test_or_says_why_not() -> None:
    """And no test carries a row that is not there."""
    applicable = {row.id for row in ROWS if not row.not_applicable}

    assert marks() == applicable


def test_the_page_holds_every_row_and_every_row_passes() -> None:
    """The page is as `make conformance` wrote it: a row that failed would show there."""
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    verdicts = {cells[0].strip("| "): cells[6] for cells in lines[1:]}
    expected = {row.id: "not applicable" if row.not_applicable else "pass" for row in ROWS}

    assert verdicts == expected


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ({4: ["passed"], 6: ["passed"]}, "| pass | pass | pass | 2 | kernel |"),
        ({4: ["passed", "failed"]}, "| FAIL | - | FAIL | 2 | kernel |"),
        ({6: ["skipped"]}, "| - | skipped | skipped | 1 | kernel |"),
        ({}, "| - | - | NOT TESTED | - | kernel |"),
    ],
)
def test_a_row_passes_only_when_all_of_it_did(outcomes: Any, verdict: str) -> None:
    """A row that nobody tested does not pass."""
    seen = Seen(how={"kernel"})
    seen.outcomes.update(outcomes)
    row = Row(id="Z1", requirement="RFC 0", side="B", what="nothing")

    assert page({"Z1": seen}, [row]).splitlines()[-1].endswith(verdict)
