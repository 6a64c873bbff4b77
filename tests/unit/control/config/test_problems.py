from __future__ import annotations

import pytest

from natlb.control.config.problems import (
    EXCERPT_WIDTH,
    MAX_SHOWN,
    InvalidConfigError,
    Source,
    described,
    path_text,
    placeless,
    quoted,
)
from natlb.control.config.tree import Fault

TEXT = "services:\n  web:\n    listen: x\n    polcy: y\n    backends: []\n"


def test_a_problem_is_one_line_with_its_place_and_a_suggestion() -> None:
    """Editors jump to FILE:LINE:COLUMN; the form is the one in the docs."""
    fault = Fault(
        "unknown key 'polcy' in service 'web'",
        ("services", "web", "polcy"),
        TEXT.index("polcy"),
        "did you mean 'policy'?",
        says_where=True,
    )
    problem = Source(TEXT, "natlb.yaml").problem(fault)

    assert str(problem) == (
        "natlb.yaml:4:5: unknown key 'polcy' in service 'web'; did you mean 'policy'?"
    )
    assert (problem.file, problem.line, problem.column) == ("natlb.yaml", 4, 5)


def test_an_excerpt_is_three_lines_with_a_caret_under_the_column() -> None:
    """The caret counts characters, so the lines before it must be as wide as they look."""
    assert Source(TEXT, "f").excerpt(4, 5).splitlines() == [
        "   3 |     listen: x",
        "   4 |     polcy: y",
        "     |     ^",
        "   5 |     backends: []",
    ]


@pytest.mark.parametrize(("line", "rows"), [(1, 3), (5, 3)])
def test_an_excerpt_at_an_edge_of_the_file_is_shorter(line: int, rows: int) -> None:
    """There is no line 0, and after the last line end there is no line."""
    assert len(Source(TEXT, "f").excerpt(line, 1).splitlines()) == rows


def test_an_excerpt_of_a_very_long_line_shows_what_is_near_the_column() -> None:
    """JSON often is one line of any length."""
    text = "x" * 5000 + "HERE" + "x" * 5000
    shown, caret = Source(text, "f").excerpt(1, 5001).splitlines()

    assert shown[caret.index("^")] == "H"
    assert len(shown) <= EXCERPT_WIDTH + 8


def test_an_excerpt_has_no_character_that_a_terminal_would_obey() -> None:
    """A file may hold escape sequences; tabs count as one column, as the place does."""
    shown = Source("\tab\x1b[2J\u202e: 1", "f").excerpt(1, 2)

    assert shown.splitlines() == ["   1 |  ab?[2J?: 1", "     |  ^"]


@pytest.mark.parametrize(
    ("text", "at", "place"),
    [
        ("ab\ncd", 0, (1, 1)),
        ("ab\ncd", 4, (2, 2)),
        ("ab\r\ncd", 5, (2, 2)),
        ("ab\rcd", 3, (2, 1)),
        ("ab\u2028cd", 4, (1, 5)),
        ("", 0, (1, 1)),
        ("a\n", 2, (2, 1)),
    ],
)
def test_lines_are_counted_as_editors_count_them(
    text: str, at: int, place: tuple[int, int]
) -> None:
    """LF, CRLF and CR end a line, Unicode's separators do not."""
    assert Source(text, "f").place(at) == place


def test_without_a_text_the_path_is_the_place() -> None:
    """A mapping has no lines."""
    problem = placeless(Fault("port 70000 is not in 1..65535", ("services", "web", "listen")))

    assert str(problem) == "services.web.listen: port 70000 is not in 1..65535"
    assert problem.excerpt is None


def test_several_problems_are_counted_and_sorted_by_place() -> None:
    """All of them at once: nobody likes to mend one after the other."""
    source = Source(TEXT, "f")
    faults = [Fault("second", at=30), Fault("first", at=2), Fault("whole file")]
    error = InvalidConfigError(map(source.problem, faults), "f")

    assert [problem.message for problem in error.problems] == ["whole file", "first", "second"]
    assert error.message.splitlines()[0] == "3 problems in f"
    assert error.exit_code == 65
    assert error.fix == "mend the file, then: natlb validate f"


def test_very_many_problems_are_counted_and_not_all_written() -> None:
    """A wrong file of a megabyte must not become a report of a hundred."""
    error = InvalidConfigError([placeless(Fault(f"m{i}")) for i in range(MAX_SHOWN + 5)])

    assert len(error.problems) == MAX_SHOWN + 5
    assert error.message.endswith("... and 5 more")
    assert error.message.startswith(f"{MAX_SHOWN + 5} problems in the configuration\n")
    assert error.fix is None


def test_the_fix_can_be_pasted_into_a_shell() -> None:
    """A file's name may hold a space."""
    assert InvalidConfigError([], "my file").fix == "mend the file, then: natlb validate 'my file'"


def test_a_path_shows_list_items_by_number_and_odd_names_in_quotes() -> None:
    """A service may be called `my.web`."""
    assert path_text(("services", "my.web", "backends", 2)) == "services.'my.web'.backends[2]"
    assert path_text(()) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "'x'"),
        (5, "5"),
        (1.5, "1.5"),
        pytest.param(10**5000, "a huge number", id="huge"),
        (True, "true"),
        (None, "nothing"),
        ({}, "a mapping"),
        ([], "a list"),
        (object(), "of type object"),
    ],
)
def test_a_value_is_described_in_the_words_of_a_file(value: object, words: str) -> None:
    """`True` is Python; and Python refuses to print an int of more than 4,300 digits."""
    assert described(value) == words


def test_text_of_the_users_is_cut_and_escaped() -> None:
    """It goes to a terminal, a log and JSON: a lone surrogate would break the last."""
    assert quoted("a" * 100) == "'" + "a" * 61 + "...'"
    assert quoted("a\x1b\ud800") == r"'a\x1b\ud800'"
