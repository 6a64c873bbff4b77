from __future__ import annotations

import pytest

from natlb.control.config import tree
from natlb.control.config.tree import (
    MAX_DEPTH,
    FatalFaultError,
    Growth,
    copy_node,
    fault_at,
    fault_at_key,
    follow,
    tree_of,
)
from natlb.control.config.yaml_text import read_yaml


def test_plain_data_becomes_a_tree_and_comes_back() -> None:
    """A mapping given to the engine goes the same way as a file."""
    given = {"a": [1, "x", None, {"b": 2.5}], "c": {}}

    assert tree_of(given).plain() == given


def test_a_path_leads_past_steps_that_are_not_there() -> None:
    """`listen: tcp://...` is checked as a list of one, and complained of where it stands."""
    root, _ = read_yaml("web:\n  listen: x\n")

    assert [node.name for node in follow(root, ("web", "listen", 0))] == ["", "web", "listen"]


def test_a_fault_is_at_a_value_or_at_its_key() -> None:
    """An unknown key is wrong where it begins; a wrong value where the value does."""
    root, _ = read_yaml("web:\n  port: 5\n")

    assert fault_at(root, ("web", "port"), "m").at == 13
    assert fault_at_key(root, ("web", "port"), "m").at == 7


def test_what_is_swept_from_a_list_leaves_the_numbers_of_the_others() -> None:
    """The third backend is called the third, though the second was dropped."""
    root = tree_of({"pool": ["a", "b", "c"]})
    pool = root.child("pool")
    assert pool is not None
    pool.children()[1].dropped = True
    root.sweep()

    assert root.plain() == {"pool": ["a", "c"]}
    assert [node.name for node in pool.children()] == [0, 2]
    assert fault_at(root, ("pool", 1), "m").path == ("pool", 2)
    assert pool.missed == {1}


def test_a_structure_that_holds_itself_is_refused() -> None:
    """Python can build what no file can say."""
    inside: list[object] = []
    inside.append(inside)

    with pytest.raises(FatalFaultError, match="levels deep"):
        tree_of({"a": inside})


def test_a_structure_that_doubles_at_each_level_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thirty shared lists of two are a billion values."""
    monkeypatch.setattr(tree, "MAX_VALUES", 1000)
    inside: list[object] = [1, 1]
    for _ in range(MAX_DEPTH - 4):
        inside = [inside, inside]

    with pytest.raises(FatalFaultError, match="more than 1000 values"):
        tree_of({"a": inside})


def test_a_key_that_is_no_text_is_refused() -> None:
    """`{80: ...}` in Python is not `'80'`, and guessing would hide a mistake."""
    with pytest.raises(FatalFaultError, match="a key must be text, not 80"):
        tree_of({80: 1})


def test_a_copy_keeps_the_places_and_shares_no_node() -> None:
    """What is dropped behind one alias must stay behind the other."""
    root, _ = read_yaml("a: {b: [1, 2]}\n")
    copy = copy_node(root, "c", 7, Growth(), 0)
    copy.children()[0].dropped = True
    copy.sweep()

    assert (copy.name, copy.key_at, copy.at) == ("c", 7, root.at)
    assert copy.plain() == {}
    assert root.plain() == {"a": {"b": [1, 2]}}
