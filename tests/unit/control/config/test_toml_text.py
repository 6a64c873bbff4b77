from __future__ import annotations

import tomllib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from natlb.control.config.toml_text import _Scanner, read_toml
from natlb.control.config.tree import FatalFaultError, Node, follow

TEXT = '''\
state = "/var/x" # a comment
[services.web]
listen = ["tcp://203.0.113.10:80", # the first
  'udp://203.0.113.10:80',
]
policy.name = "source-hash"
backends = [{address = "10.0.0.1:80", name = "b1"}, "10.0.0.2"]

[[pool.servers]]
address = """
10.0.0.1"""
[[pool.servers]]
"quoted key" . 'other' = 1979-05-27 07:32:00
[[pool.servers.checks]]
port = 80
[pool.servers.more]
deep = {a = [1, {b = 2}]}
'''


def text_at(text: str, root: Node, *path: str | int) -> tuple[str, str]:
    """Return how the text goes on at a value's key, and at the value."""
    nodes = follow(root, path)
    assert len(nodes) == len(path) + 1
    assert nodes[-1].key_at is not None
    assert nodes[-1].at is not None
    return text[nodes[-1].key_at :][:9], text[nodes[-1].at :][:9]


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n")], ids=["lf", "crlf"])
def test_every_kind_of_key_and_value_has_its_place(text: str) -> None:
    """Python's tomllib keeps none, so each form of the grammar is found a second time."""
    root, _ = read_toml(text)

    assert text_at(text, root, "state") == ('state = "', '"/var/x" ')
    assert text_at(text, root, "services", "web")[0].startswith("web]")
    assert text_at(text, root, "services", "web", "listen", 1)[1] == "'udp://20"
    assert text_at(text, root, "services", "web", "policy", "name") == ('name = "s', '"source-h')
    backend = ("services", "web", "backends", 0)
    assert text_at(text, root, *backend)[1] == "{address "
    assert text_at(text, root, *backend, "name") == ('name = "b', '"b1"}, "1')
    assert text_at(text, root, "services", "web", "backends", 1)[1] == '"10.0.0.2'
    servers = ("pool", "servers")
    assert text_at(text, root, *servers, 0, "address")[1].startswith('"""')
    assert text_at(text, root, *servers, 1, "quoted key", "other") == ("'other' =", "1979-05-2")
    assert text_at(text, root, *servers, 1, "checks", 0, "port")[1].startswith("80")
    assert text_at(text, root, *servers, 1, "more", "deep", "a", 1, "b")[1].startswith("2}]}")


def test_every_value_of_the_example_has_a_place() -> None:
    """A node without a place would give a problem without a line."""

    def check(node: Node) -> None:
        for child in node.children():
            assert child.at is not None, child.name
            check(child)

    check(read_toml(TEXT)[0])


KEYS = st.text(alphabet="abc-_9", min_size=1, max_size=4)
LEAVES = st.integers(-(2**63), 2**63 - 1).map(str) | st.sampled_from(
    ["true", "'x]y'", '"a\\"b#"', '"""\n"" x\\\n """', "'''a''b'''", "1.5e3"]
)
TABLES = st.dictionaries(
    KEYS, LEAVES | st.lists(LEAVES, max_size=3).map(lambda items: f"[{', '.join(items)} ]")
)


@given(TABLES, st.dictionaries(KEYS.map("T{}".format), TABLES, max_size=3))
@settings(deadline=None)
def test_the_text_at_a_values_place_is_that_value(
    first: dict[str, str], tables: dict[str, dict[str, str]]
) -> None:
    """Python's tomllib is the judge: a value's text alone means what the whole text meant there."""
    text = "".join(f"{key} = {value} # c\n" for key, value in first.items())
    for name, table in tables.items():
        text += f"[ {name} ]\n" + "".join(f"  {k}={v}\n" for k, v in table.items())
    root, _ = read_toml(text)

    assert root.plain() == tomllib.loads(text)
    for name, values in [("", first), *tables.items()]:
        holder = root.child(name) if name else root
        assert holder is not None
        for key, value in values.items():
            node = holder.child(key)
            assert node is not None
            assert node.at is not None
            assert text.startswith(value, node.at)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("a = ", "not TOML: invalid value", 3),
        ("a = 1\nb", "not TOML: expected '=' after a key in a key/value pair", 7),
        ("a = 1\r\nb = @", "not TOML: invalid value", 11),
        ("a = 1\na = 2", "not TOML: cannot overwrite a value", 11),
        pytest.param("a = " + "[" * 100_000, "nested too deep", None, id="depth"),
        ("a = " + "[" * 40 + "]" * 40, "nested more than 32 levels deep", None),
        pytest.param("a." * 100_000 + "b = 1", "a key of more than 64 parts", 0, id="dots"),
        pytest.param(
            "a = " + "9" * 5000, "not TOML: a number with too many digits", None, id="digits"
        ),
        ("\ud800", "not TOML: invalid statement", 0),
    ],
)
def test_what_is_no_toml_is_refused_at_its_place(text: str, message: str, at: int | None) -> None:
    """Python's tomllib says the place in its words; long things must not cost hours."""
    with pytest.raises(FatalFaultError) as caught:
        read_toml(text)

    assert caught.value.fault.message == message
    assert at is None or caught.value.fault.at == at


@given(st.text(alphabet="ab=[]{}.,\"'#\\\n\r\t 019-:T\x00é", max_size=40))
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_as_by_tomllib_or_refused(text: str) -> None:
    """The second walk never changes what a text means, and never raises."""
    try:
        expected: object = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        expected = ...
    try:
        assert read_toml(text)[0].plain() == expected
    except FatalFaultError as error:
        assert expected is ...
        assert 0 <= (error.fault.at or 0) <= len(text)  # noqa: PT017 - either way is right


@given(st.text(alphabet="ab=[]{}.,\"'# \n@", max_size=40))
@example("a=[}")
@settings(deadline=None, max_examples=300)
def test_the_second_walk_ends_on_any_text(text: str) -> None:
    """It runs on what tomllib took; were the two ever to disagree, places are lost and no more."""
    places = _Scanner(text).places()

    assert all(0 <= at <= len(text) for pair in places.values() for at in pair)
