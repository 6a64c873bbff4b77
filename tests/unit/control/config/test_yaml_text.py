from __future__ import annotations

import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from natlb.control.config import tree
from natlb.control.config.tree import FatalFaultError
from natlb.control.config.yaml_text import read_yaml


def plain(text: str) -> object:
    """Return what a text means."""
    return read_yaml(text)[0].plain()


def refused(text: str) -> tuple[str, int | None, str | None]:
    """Return what is said of a text that is refused, where, and with which hint."""
    with pytest.raises(FatalFaultError) as caught:
        read_yaml(text)
    return caught.value.fault.message, caught.value.fault.at, caught.value.fault.suggestion


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("-5", -5),
        ("0o17", 15),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("~", None),
        ("", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("on", "on"),
        ("no", "no"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'80'", "80"),
        ('"80"', "80"),
        ("!!str 80", "80"),
        ("! 80", "80"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("tcp://[2001:db8::1]:80", "tcp://[2001:db8::1]:80"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """YAML 1.1 took `on` for true and `1:30` for ninety: addresses and names must stay text."""
    assert plain(f"key: {text}") == {"key": value}


def test_not_a_number_is_a_float() -> None:
    """What it is worth is for the key to say."""
    read = plain("key: .nan")

    assert isinstance(read, dict)
    assert math.isnan(read["key"])


@pytest.mark.parametrize("key", ["80", "on", "null", "1.0", "2024-01-01", "'a b'"])
def test_a_key_is_its_text(key: str) -> None:
    """A service may be called 80."""
    assert plain(f"{key}: 1") == {key.strip("'"): 1}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "--- ~\n", "\n\n"])
def test_nothing_is_a_null(text: str) -> None:
    """Whether that is a configuration is not for YAML to say."""
    assert plain(text) is None


def test_every_value_knows_where_it_and_its_key_begin() -> None:
    """That is what this reader is for."""
    text = "web:\n  listen: [a, 'b']\n"
    web = read_yaml(text)[0].child("web")
    listen = web and web.child("listen")
    assert listen is not None

    assert (listen.key_at, listen.at) == (text.index("listen"), text.index("["))
    assert [node.at for node in listen.children()] == [text.index("a"), text.index("'b'")]


def test_a_duplicate_key_is_a_fault_and_the_first_counts() -> None:
    """The last would win silently in most readers."""
    root, faults = read_yaml("a: 1\nb: 2\na: 3\n")

    assert root.plain() == {"a": 1, "b": 2}
    assert [(fault.message, fault.at) for fault in faults] == [("the key 'a' is given twice", 10)]


def test_an_alias_is_a_copy_of_what_it_names() -> None:
    """Pools are shared that way."""
    assert plain("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


def test_an_anchor_may_be_used_again_for_something_else() -> None:
    """YAML 1.2.2, 3.2.2.2: an alias means the last anchor of its name before it."""
    assert plain("a: &x 1\nb: *x\nc: &x 2\nd: *x\n") == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_a_merge_fills_in_what_is_not_given() -> None:
    """What stands in the mapping goes first, then the merged ones in their order."""
    text = "a: &a {k: 1, l: 2}\nb: &b {l: 3, m: 4}\nc: {k: 0, <<: [*a, *b]}\nd: {<<: *a}\n"
    read = plain(text)

    assert isinstance(read, dict)
    assert read["c"] == {"k": 0, "l": 2, "m": 4}
    assert read["d"] == {"k": 1, "l": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    """Only the plain `<<` merges."""
    assert plain("'<<': 1") == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("a: *x", "nothing before this has the anchor 'x'", 3),
        ("a: &x [*x]", "nothing before this has the anchor 'x'", 7),
        ("a: !secret 1", "the tag '!secret' is not used here", 3),
        ("a: !!python/name:os.system x", "the tag 'tag:yaml.org,2002:python/name:os.system' is", 3),
        ("a: !!set {b}", "the tag 'tag:yaml.org,2002:set' is not used here", 3),
        ("!x a: 1", "the tag '!x' is not used here", 0),
        ("? [1]\n: 2", "a key must be plain text", 2),
        ("a: &x b\n*x : 1", "a key must be plain text", 8),
        ("<<: 1", "'<<' takes a mapping, or a list of them", 0),
        ("a: 1\n---\nb: 2\n", "a second document begins here", 5),
        pytest.param("a: " + "9" * 5000, "a number with too many digits", 3, id="digits"),
        ('a: "\\UFFFFFFFF"', "not YAML: an escape names no character", 1),
        ("a: \x07", "the character 0x0007 may not stand in YAML", 3),
        pytest.param("[" * 100_000, "nested more than 32 levels deep", 33, id="depth"),
        ("a: [1", "not YAML: expected ',' or ']'", 5),
        ("%YAML 3.0\n---\na: 1\n", "not YAML: found incompatible YAML document", 0),
    ],
)
def test_what_is_no_configuration_is_refused_at_its_place(text: str, message: str, at: int) -> None:
    """A tag could make an object of a value; a bomb must stop while it is read."""
    said, where, _ = refused(text)

    assert said.startswith(message)
    assert where == at


def test_a_bomb_of_aliases_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine lists of nine aliases are 387 million values."""
    monkeypatch.setattr(tree, "MAX_VALUES", 1000)
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]")
    message, _, _ = refused("\n".join(lines))

    assert message.startswith("more than 1000 values")


@pytest.mark.parametrize(
    "text",
    ["- [fd00::1]:80", "backends:\n  - [2001:db8::1]:80\n", "a: {address: [fd00::1]:80}"],
)
def test_brackets_without_quotes_are_recognised(text: str) -> None:
    """YAML takes `[fd00::1]:80` for a list; the parser's own words lead nobody to the quotes."""
    _, _, hint = refused(text)

    assert hint is not None
    assert hint.startswith("put quotes around an IPv6 address in brackets")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\t- b", "indent with spaces, not with tabs"),
        ("a:\n  - b\n c", "check the indentation of this line and of those before it"),
        ("a: b: c", "one `key: value` a line; quote a value that holds ': '"),
    ],
)
def test_usual_mistakes_have_a_hint(text: str, hint: str) -> None:
    """The parser says what it met, not what to do."""
    assert refused(text)[2] == hint


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(DOCUMENTS.filter(lambda value: isinstance(value, dict) and "<<" not in str(value)))
@settings(deadline=None, max_examples=150)
def test_a_text_means_what_ruamels_own_loader_says(value: object) -> None:
    """Only places and limits are ours."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(value, out)

    assert plain(out.getvalue()) == yaml.load(out.getvalue())


@given(st.text(alphabet="ab:-[]{}'\"&*!|>%#@`?, \n\t\\<~0é\x00\u2028", max_size=40))
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other exception leaves the reader."""
    try:
        root, faults = read_yaml(text)
    except FatalFaultError as error:
        at = error.fault.at
        assert at is None or 0 <= at <= len(text)
    else:
        assert all(0 <= (fault.at or 0) <= len(text) for fault in faults)
        root.plain()
