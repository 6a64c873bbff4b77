"""Where values begin and end in a text."""

from __future__ import annotations

import pytest

from natlb.control.config.places import Part, places_in_json, places_in_yaml

YAML = """\
# first
a: &x [1, 'two' , {b: "c"}]  # behind
d:
  - e: f   # of f
    g: *x
  - - h
"""


def written(text: str, part: Part) -> object:
    """Return a part as it is written, a collection as those of its parts."""
    if isinstance(part.value, dict):
        return {name: written(text, entry.value) for name, entry in part.value.items()}
    if isinstance(part.value, list):
        return [written(text, each) for each in part.value]
    return text[part.start : part.end]


def test_yaml_is_found_as_it_is_written() -> None:
    """Quotes are a part of a value, comments and spaces are not; aliases lead nowhere."""
    root = places_in_yaml(YAML)

    assert written(YAML, root) == {
        "a": ["1", "'two'", {"b": '"c"'}],
        "d": [{"e": "f", "g": "*x"}, [["h"]][0]],
    }


def test_collections_end_where_they_do() -> None:
    """In brackets behind them, else with the last of their parts."""
    value = places_in_yaml(YAML).value
    assert isinstance(value, dict)
    inline, block = value["a"].value, value["d"].value

    assert YAML[: inline.end].endswith('{b: "c"}]')
    assert YAML[block.start : block.end].endswith("- - h")
    assert (inline.is_inline, block.is_inline) == (True, False)
    assert YAML[value["d"].key.start : value["d"].key.end] == "d"


def test_an_alias_is_known_as_one() -> None:
    """What it stands for is written elsewhere."""
    value = places_in_yaml("a: &x 1\nb: *x\n").value
    assert isinstance(value, dict)

    assert [entry.value.is_alias for entry in value.values()] == [False, True]


@pytest.mark.parametrize("text", ['{"a": [1, {"b": []}, "}]" ] ,"c" : {} }', " \n[ ]\n"])
def test_json_is_found_as_it_is_written(text: str) -> None:
    """Whatever white space is about, and whatever a text holds."""
    root = places_in_json(text)

    assert text[root.start : root.end] == text.strip()
    if isinstance(root.value, dict):
        assert written(text, root) == {"a": ["1", {"b": []}, '"}]"'], "c": {}}
