"""Changes in a configuration's text: what is meant changes, and nothing else is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.config.edit import PoolEdit, UnwritableError, edited
from natlb.control.config.load import config_from_mapping, parse_config, plain_config

if TYPE_CHECKING:
    from natlb.control.config.load import Syntax

YAML = """\
# The whole of it.
services:
  web:  # the shop
    listen: tcp://203.0.113.10:80
    backends:
      # the old ones
      - 10.77.0.11:8080   # rack 1
      - {name: b2, address: "10.77.0.12:8080", weight: 5}  # rack 2
      - name: 'b3'
        address: '10.77.0.13:8080'
        backup: true  # in reserve

      # the last
      - name: b4
        weight: 2
        address: 10.77.0.14:8080
    policy: "maglev"
  dns:
    listen: udp://203.0.113.11:53
    backends: [10.77.0.15, {address: 10.77.0.16}]
  empty: {listen: tcp://203.0.113.12:80, backends: []}
"""
TIGHT = "services:\n  web:\n    listen: tcp://203.0.113.10:80\n    backends:\n    - 10.77.0.11"
WIDE = json.dumps(
    {
        "services": {
            "web": {
                "listen": "tcp://203.0.113.10:80",
                "backends": ["10.77.0.11:80", {"address": "10.77.0.12:80", "name": "b\u0032"}],
            },
            "dns": {
                "backends": [{"address": "10.77.0.13", "weight": 3}],
                "listen": "udp://1.2.3.4:5",
            },
            "empty": {"listen": "tcp://203.0.113.12:80", "backends": []},
        }
    },
    indent="\t",
)
TEXTS: list[tuple[str, Syntax]] = [
    (YAML, "yaml"),
    (YAML.replace("\n", "\r\n"), "yaml"),
    (TIGHT, "yaml"),
    (WIDE, "json"),
    (json.dumps(json.loads(WIDE)), "json"),
    (WIDE.replace("\t", "  "), "yaml"),
]


def test_a_weight_is_changed_in_its_place() -> None:
    """Where one stands it is another; an address alone becomes a mapping on its line."""
    found = edited(YAML, "yaml", {"web": PoolEdit(weights={0: 3, 1: 7, 2: 4})})

    assert found == YAML.replace(
        "- 10.77.0.11:8080 ", "- {address: 10.77.0.11:8080, weight: 3} "
    ).replace("weight: 5", "weight: 7").replace(
        "# in reserve\n", "# in reserve\n        weight: 4\n"
    )


def test_a_removed_backend_takes_its_lines_along() -> None:
    """And no comment but its own."""
    found = edited(YAML, "yaml", {"web": PoolEdit(removed=frozenset({0, 2}))})
    gone = "'b3'", "'10.77.0.13:8080'", "in reserve", "rack 1"
    lines = YAML.splitlines(keepends=True)
    expected = "".join(line for line in lines if not any(each in line for each in gone))

    assert found == expected


def test_an_added_backend_is_written_as_its_neighbour_is() -> None:
    """In lines, in braces, or as an address."""
    new = {"name": "b5", "address": "10.77.0.17:8080", "weight": 2}
    found = edited(
        YAML,
        "yaml",
        {
            "web": PoolEdit(added=[new]),
            "dns": PoolEdit(added=[{"address": "fd00::1"}]),
            "empty": PoolEdit(added=[{"name": "true", "address": "10.77.0.18"}]),
        },
    )
    lines = "      - name: b5\n        address: 10.77.0.17:8080\n        weight: 2\n"

    assert found == YAML.replace("    policy:", f"{lines}    policy:").replace(
        "0.16}]", '0.16}, "fd00::1"]'
    ).replace("backends: []", 'backends: [{name: "true", address: 10.77.0.18}]')


def test_a_last_line_without_an_end_is_ended() -> None:
    """Nobody has to have an editor that does."""
    found = edited(TIGHT, "yaml", {"web": PoolEdit(added=[{"address": "10.77.0.12"}])})

    assert found == f"{TIGHT}\n    - 10.77.0.12\n"


def test_a_pool_that_gets_empty_says_so() -> None:
    """A key without a value would be an error; its comment stays."""
    text = TIGHT.replace("backends:", "backends:  # all of them")

    assert edited(text, "yaml", {"web": PoolEdit(removed=frozenset({0}))}) == text.replace(
        "backends:  # all of them\n    - 10.77.0.11", "backends: []  # all of them\n"
    )


def test_json_stays_json() -> None:
    """In double quotes, whatever YAML would take."""
    edit = PoolEdit(weights={0: 2, 1: 9}, added=[{"address": "10.77.0.19"}])
    found = edited(WIDE, "json", {"web": edit})

    assert json.loads(found)["services"]["web"]["backends"] == [
        {"address": "10.77.0.11:80", "weight": 2},
        {"address": "10.77.0.12:80", "name": "b2", "weight": 9},
        "10.77.0.19",
    ]
    assert found.count("\n") == WIDE.count("\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("backends: [10.77.0.15, {address: 10.77.0.16}]", "backends: *pool"),
        ("    listen: udp://203.0.113.11:53\n    backends: [10.77.0.15", "    <<: *x\n    y: [a"),
        ("backends: [10.77.0.15", "backends: [*one"),
    ],
)
def test_what_is_written_elsewhere_is_not_changed(before: str, after: str) -> None:
    """It would change there as well."""
    with pytest.raises(UnwritableError):
        edited(YAML.replace(before, after), "yaml", {"dns": PoolEdit(weights={0: 3})})


def test_a_backend_in_an_unusual_form_is_left_to_its_owner() -> None:
    """Rather than guess where it begins."""
    pool = "      -\n        10.77.0.11"
    text = f"services:\n  web:\n    listen: tcp://203.0.113.10:80\n    backends:\n{pool}\n"
    for edit in (PoolEdit(removed=frozenset({0})), PoolEdit(added=[{"address": "10.77.0.12"}])):
        with pytest.raises(UnwritableError):
            edited(text, "yaml", {"web": edit})


def test_toml_is_not_written() -> None:
    """Nothing here keeps its comments."""
    with pytest.raises(UnwritableError, match="TOML"):
        edited("", "toml", {"web": PoolEdit()})


def applied(plain: Any, edits: dict[str, PoolEdit]) -> Any:
    """Return what the text should mean then, the long way round."""
    services = plain["services"]
    for name, edit in edits.items():
        pool = [
            each if isinstance(each, dict) else {"address": each}
            for each in services[name]["backends"]
        ]
        for number, weight in edit.weights.items():
            pool[number] = {**pool[number], "weight": weight}
        pool = [each for number, each in enumerate(pool) if number not in edit.removed]
        services[name]["backends"] = pool + [dict(each) for each in edit.added]
    return plain


@given(st.sampled_from(TEXTS), st.data())
def test_any_changes_mean_what_they_say(text: tuple[str, Syntax], data: st.DataObject) -> None:
    """The text with the changes means the configuration with the changes."""
    written, syntax = text
    plain: Any = plain_config(written, "test", syntax)
    names = st.sampled_from(["b7", "true", "1e5", "null", "0x1f", ".inf", "a.b-c_d", "no"])
    edits = {}
    for name, service in plain["services"].items():
        size = len(service["backends"])
        places = st.integers(0, max(0, size - 1)) if size else st.nothing()
        removed = data.draw(st.frozensets(places, max_size=size))
        weights = data.draw(st.dictionaries(places, st.integers(0, 65_535)))
        new = [
            {"name": each, "address": f"10.88.0.{number + 1}:{80 + number}", "weight": number}
            for number, each in enumerate(data.draw(st.lists(names, unique=True, max_size=3)))
        ]
        new += [
            {"address": f"10.89.0.{number + 1}"} for number in range(data.draw(st.integers(0, 2)))
        ]
        weights = {number: weight for number, weight in weights.items() if number not in removed}
        edits[name] = PoolEdit(weights=weights, removed=removed, added=new)
    found = edited(written, syntax, edits)

    assert parse_config(found, "test", syntax) == config_from_mapping(applied(plain, edits))
    comments = [line.strip() for line in written.splitlines() if line.strip().startswith("#")]
    assert [line.strip() for line in found.splitlines() if line.strip().startswith("#")] == comments
