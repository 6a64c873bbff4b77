"""What a later version brings is known, and refused."""

from __future__ import annotations

import json

import pytest

from natlb.cli.root import LATER


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("rest", [(), ("--help",), ("a", "--what=ever", "-x", "--", "b")])
def test_a_later_command_is_refused_whatever_it_is_given(command, name, rest) -> None:
    """Not silently nothing, and not a usage error: it is natlb that lacks something."""
    said = command(name, *rest)

    assert said.code == 69
    assert said.err == f"error: not in this version: natlb {name}\nfix: natlb --help\n"


def test_a_later_command_is_refused_in_json_where_json_is_asked_for(command) -> None:
    """As every error."""
    said = command("explain", "this", "--json")

    assert json.loads(said.err)["error"]["code"] == "unavailable"
