from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from natlb.control.config.later import LATER
from natlb.control.config.load import parse_config
from natlb.control.config.problems import InvalidConfigError
from natlb.control.config.reference import key_table, later_list, main
from natlb.control.config.shape import PARTS

DOCUMENT = Path(__file__).parents[4] / "docs" / "configuration.md"


def between(name: str) -> str:
    """Return what stands in the document between two marks."""
    found = re.search(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_document_has_the_table_of_all_keys() -> None:
    """`python -m natlb.control.config.reference` prints it anew."""
    assert between("keys") == key_table()


def test_the_document_lists_what_is_not_in_this_version() -> None:
    """Nobody should have to find out by trying."""
    assert between("later") == later_list()


def test_no_key_is_left_out_of_the_table() -> None:
    """But for those whose mapping is described in one row."""
    for part in PARTS.values():
        for key in part.model_fields:
            assert f"{key}`" in key_table() or f".{key}" in key_table() or f"`{key}." in key_table()


def test_nothing_later_is_left_out_of_the_list() -> None:
    """Each key of the table of `later.py`, by its last step."""
    for row in LATER:
        last = row.path.split(".")[-1]
        assert last in {"*", "name"} or last in later_list()


EXAMPLES = re.findall(
    r"```yaml\n# (\S+)\n(.*?)```\n+```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
)
GOOD = re.findall(r"```(yaml|toml|json)\n(?!# )(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.mark.parametrize(("name", "text", "report"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_a_mistake_in_the_document_gives_the_error_that_stands_there(
    name: str, text: str, report: str
) -> None:
    """The document shows what natlb says, not what it once said."""
    with pytest.raises(InvalidConfigError) as caught:
        parse_config(f"# {name}\n{text}", name)

    assert report == f"error: {caught.value.message}\nfix: {caught.value.fix}\n"


@pytest.mark.parametrize(("syntax", "text"), GOOD)
def test_an_example_in_the_document_is_a_configuration(syntax: str, text: str) -> None:
    """It will be copied."""
    assert parse_config(text, "docs", syntax).services  # type: ignore[arg-type]


def test_the_document_has_examples() -> None:
    """A changed form of the document must not empty the tests above."""
    assert len(EXAMPLES) >= 2
    assert len(GOOD) >= 3


def test_both_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """To be pasted."""
    main()

    assert capsys.readouterr().out == f"{key_table()}\n{later_list()}"


def test_the_tables_can_be_printed() -> None:
    """`python -m natlb.control.config.reference`."""
    words = [sys.executable, "-W", "error", "-m", "natlb.control.config.reference"]

    assert subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
