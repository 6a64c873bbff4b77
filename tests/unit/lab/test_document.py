from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.errors import ConfigError
from natlb.lab.document import Node, read_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Node]:
    """Return the reader of a text."""

    def written(text: str) -> Node:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return read_document(path)

    return written


def test_a_value_knows_its_place(read: Callable[[str], Node]) -> None:
    """An editor jumps to FILE:LINE:COLUMN."""
    node = read("a:\n  b: [1, oops]\n").entries()["a"].entries()["b"].items()[1]

    with pytest.raises(ConfigError, match=r"x\.yaml:2:10: item of 'b' of 'a' must be a port"):
        node.port()


def test_an_unknown_key_is_told_with_the_nearest_known_one(read: Callable[[str], Node]) -> None:
    """Most unknown keys are misspelt ones."""
    with pytest.raises(ConfigError, match=r"2:1: unknown key 'hots' .*did you mean 'hosts'\?"):
        read("hosts: 1\nhots: 2\n").keys(["hosts"])


def test_a_missing_key_is_told(read: Callable[[str], Node]) -> None:
    """It has no place of its own: that of what lacks it is told."""
    with pytest.raises(ConfigError, match="'b' lacks 'c'"):
        read("b: {}\n").entries()["b"].keys(["c"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: [", "x.yaml:1:"),
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: \x01", "special characters are not allowed"),
    ],
)
def test_a_file_of_another_shape_is_refused(
    read: Callable[[str], Node], text: str, message: str
) -> None:
    """Also one that is empty, or no YAML at all."""
    with pytest.raises(ConfigError, match=message):
        read(text).entries()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no text."""
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")

    for name, reason in (("none.yaml", "No such file"), ("x", "it is no text")):
        with pytest.raises(ConfigError, match=f"cannot read .*{name}: {reason}"):
            read_document(tmp_path / name)


def test_scalars_are_of_the_kind_asked_for(read: Callable[[str], Node]) -> None:
    """A text is not taken for a flag, nor a flag for a port."""
    entries = read("flag: true\ntext: yes\nport: 80\nlist: [1]\n").entries()

    assert entries["flag"].flag()
    assert entries["text"].text() == "yes"
    assert entries["port"].port() == 80
    for node, ask in (("text", "flag"), ("port", "text"), ("flag", "port"), ("port", "items")):
        with pytest.raises(ConfigError, match=f"'{node}' must be"):
            getattr(entries[node], ask)()


def test_plain_values_are_pythons_own(read: Callable[[str], Node]) -> None:
    """What is written out again knows nothing of the file it came from."""
    plain = read("a: {b: [x, 1]}\n").plain()

    assert plain == {"a": {"b": ["x", 1]}}
    assert type(plain["a"]) is dict
    assert type(plain["a"]["b"]) is list
