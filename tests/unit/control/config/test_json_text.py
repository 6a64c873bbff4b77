from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.control.config.json_text import read_json
from natlb.control.config.tree import FatalFaultError, Node

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1, "\t"]))
@settings(deadline=None)
def test_a_text_means_what_the_standard_library_says(value: object, indent: int | str) -> None:
    """`json` is the judge: this reader only adds places."""
    text = json.dumps(value, indent=indent, allow_nan=False)

    assert read_json(text)[0].plain() == json.loads(text)


@given(VALUES)
@settings(deadline=None)
def test_every_value_is_where_the_reader_says(value: object) -> None:
    """Reading again from a node's place gives the node's value."""
    text = json.dumps(value)

    def check(node: Node) -> None:
        assert node.at is not None
        assert json.JSONDecoder().raw_decode(text, node.at)[0] == node.plain()
        if isinstance(node.name, str) and node.key_at is not None:
            assert json.JSONDecoder().raw_decode(text, node.key_at)[0] == node.name
        for child in node.children():
            check(child)

    check(read_json(text)[0])


@given(st.text(alphabet='{}[],:"\\u0123.eE+-truefalsn \n\ud800', max_size=30))
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_as_by_the_standard_library_or_refused(text: str) -> None:
    """What `json` refuses is refused, and the other way round."""
    try:
        expected = json.loads(text, parse_constant=pytest.fail)
    except ValueError:
        expected = ...
    try:
        read = read_json(text)[0].plain()
    except FatalFaultError as error:
        assert expected is ...
        assert 0 <= (error.fault.at or 0) <= len(text)  # noqa: PT017 - either way is right
    else:
        assert not text.strip(" \t\r\n") or read == expected


def test_a_duplicate_key_is_a_fault_and_the_first_counts() -> None:
    """RFC 8259 leaves open which one counts, so none is right."""
    root, faults = read_json('{"a": 1, "a": 2}')

    assert root.plain() == {"a": 1}
    assert [(fault.message, fault.at) for fault in faults] == [("the key 'a' is given twice", 9)]


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_is_a_null(text: str) -> None:
    """An empty file is told apart from a broken one."""
    assert read_json(text)[0].plain() is None


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("{", "not JSON: expected a key in double quotes", 1),
        ("{'a': 1}", "not JSON: expected a key in double quotes", 1),
        ('{"a" 1}', "not JSON: expected ':' after a key", 5),
        ('{"a": 1,}', "not JSON: expected a key in double quotes", 8),
        ('{"a": 1', "not JSON: expected ',' or '}'", 7),
        ("[1 2]", "not JSON: expected ',' or ']'", 3),
        ("[1,]", "not JSON: expecting value", 3),
        ("[NaN]", "not JSON: no number that can be read", 1),
        pytest.param("9" * 5000, "not JSON: no number that can be read", 0, id="digits"),
        ("// x", "not JSON: expecting value", 0),
        ("1 2", "not JSON: something follows the value", 2),
        ('"a\nb"', "not JSON: invalid control character at", 2),
        pytest.param("[" * 100_000, "nested more than 32 levels deep", 33, id="depth"),
    ],
)
def test_what_is_no_json_is_refused_at_its_place(text: str, message: str, at: int) -> None:
    """Comments and trailing commas are what people write most."""
    with pytest.raises(FatalFaultError) as caught:
        read_json(text)

    assert (caught.value.fault.message, caught.value.fault.at) == (message, at)
