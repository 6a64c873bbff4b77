from __future__ import annotations

from typing import Any

import pytest

from natlb.control.config.later import LATER, NOT_YET, is_later, later_keys, refuse_later
from natlb.control.config.load import config_from_mapping
from natlb.control.config.problems import InvalidConfigError
from natlb.control.config.shape import PARTS
from natlb.control.config.tree import tree_of

# Every key and value that is promised for later, with a value that will be right then.
PROMISED: list[tuple[str, Any]] = [
    ("datapath.driver", "xdp"),
    ("datapath.output", "direct"),
    ("services.web.mode", "proxy"),
    ("services.web.scale", {"min": 1}),
    ("services.web.backends", {"from": "docker"}),
    ("services.web.backends", [{"from": "dns", "name": "x.example"}]),
    ("services.web.no_backend", "hold"),
]


def with_value(path: str, value: object) -> dict[str, Any]:
    """Return a configuration that says this as well."""
    web = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.11"]}
    config: dict[str, Any] = {"services": {"web": web}}
    holder = config
    *steps, last = path.split(".")
    for step in steps:
        holder = holder.setdefault(step, {})
    holder[last] = value
    return config


@pytest.mark.parametrize(("path", "value"), PROMISED, ids=lambda value: str(value)[:40])
def test_what_is_promised_for_later_is_refused_in_these_words(path: str, value: object) -> None:
    """Never ignored, never called unknown, never half done; a default is refused as well."""
    with pytest.raises(InvalidConfigError) as caught:
        config_from_mapping(with_value(path, value))

    (problem,) = caught.value.problems
    assert problem.path.startswith(path)
    assert "not in this version" in str(problem)
    assert caught.value.exit_code == 65


def test_every_line_of_the_table_is_needed() -> None:
    """A line that nothing promised above is refused by would open no key when it goes."""
    unused = set(LATER)
    for row in LATER:
        for path, value in PROMISED:
            step = tree_of(with_value(path, value))
            if any(fault for fault in refuse_later(step)) and _is_about(row.path, path, value):
                unused.discard(row)

    assert not unused


def _is_about(pattern: str, path: str, value: object) -> bool:
    """Return whether a promise could be what a line of the table is about."""
    paths = [path]
    if isinstance(value, dict):
        paths += [f"{path}.{key}" for key in value]
    if isinstance(value, list):
        items = [item if isinstance(item, dict) else {} for item in value]
        paths += [f"{path}.*", *(f"{path}.*.{key}" for item in items for key in item)]
    shown = [each.replace("services.web", "services.*") for each in paths]
    return pattern in shown


def test_no_key_is_both_of_this_version_and_of_a_later_one() -> None:
    """Who opens a key deletes its line."""
    both = [
        (*steps, key)
        for steps, part in PARTS.items()
        for key in part.model_fields
        if is_later((*steps, key))
    ]

    assert not both


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("services.web.mode", "packet"),
        ("services.web.passive", True),
        ("services.web.no_backend", "drop"),
        ("services.web.check", "none"),
        ("services.web.backends", [{"address": "10.0.0.1", "check": "none"}]),
        ("datapath.driver", "tun"),
        ("datapath.driver", "packet"),
    ],
)
def test_values_of_this_version_beside_later_ones_are_taken(path: str, value: object) -> None:
    """Half of a key may be there already."""
    assert config_from_mapping(with_value(path, value)).services["web"].nat == "dnat"


def test_what_is_refused_is_gone_and_its_mapping_lacks_nothing() -> None:
    """`{from: docker}` has no address, and is not to be told so."""
    root = tree_of({"services": {"web": {"backends": [{"from": "docker"}, "10.0.0.1"]}}})
    faults = refuse_later(root)

    assert [(fault.message, fault.path) for fault in faults] == [
        (NOT_YET, ("services", "web", "backends", 0, "from"))
    ]
    assert root.plain() == {"services": {"web": {"backends": ["10.0.0.1"]}}}


def test_an_empty_value_is_not_of_a_later_version() -> None:
    """`check:` with nothing after it is a mistake of another kind."""
    root = tree_of({"services": {"web": {"check": None}}})

    assert not refuse_later(root)


def test_a_mapping_knows_its_later_keys_for_suggestions() -> None:
    """`scal` should lead to `scale`, which is not here yet."""
    assert "scale" in later_keys(("services", "web"))
    assert "from" in later_keys(("services", "web", "backends", 3))
    assert later_keys(("nowhere",)) == []
