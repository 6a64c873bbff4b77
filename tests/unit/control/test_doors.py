"""Roles, and the tokens that give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from natlb.control.doors import DoorNumber, Tokens, door_path, may, parse_tokens, refuse_open_file
from natlb.errors import ConfigError

TOKEN = "k" * 32


def test_each_role_may_what_the_one_before_may() -> None:
    """And nobody more."""
    assert may("admin", "read")
    assert may("operate", "operate")
    assert not may("operate", "admin")
    assert not may("read", "operate")


def test_doors_stand_beside_each_other() -> None:
    """Whatever the first one is called."""
    assert door_path(Path("/run/x.sock"), DoorNumber.ADMIN) == Path("/run/x.sock")
    assert door_path(Path("/run/x.sock"), DoorNumber.READ) == Path("/run/x-read.sock")
    assert door_path(Path("/run/x"), DoorNumber.OPERATE) == Path("/run/x-operate.sock")


def test_a_token_gives_its_role() -> None:
    """Comments and empty lines give none; and who has none gets none."""
    tokens = parse_tokens(f"# ours\n\nread {TOKEN} # Prometheus\nadmin  {TOKEN}2\n", "tokens")

    assert tokens.role_of(TOKEN) == "read"
    assert tokens.role_of(f"{TOKEN}2") == "admin"
    assert tokens.role_of("") is tokens.role_of(TOKEN[1:]) is tokens.role_of("\udcff") is None
    assert Tokens().role_of(TOKEN) is None
    assert TOKEN not in repr(tokens)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no token"),
        (f"root {TOKEN}", "tokens:1: expected ROLE TOKEN"),
        (f"\nread {TOKEN} more", "tokens:2: expected ROLE TOKEN"),
        (TOKEN, "tokens:1: expected ROLE TOKEN"),
        (f"read {TOKEN[1:]}", "tokens:1: a token has 32 to 512"),
        ("read " + "é" * 40, "tokens:1: a token has 32 to 512"),
        ("read " + "k" * 10**5, "tokens:1: a token has 32 to 512"),
        (f"read {TOKEN}\nadmin {TOKEN}", "tokens:2: a token that stands further up"),
        ("\n".join(f"read {TOKEN}{number}" for number in range(1001)), "more than 1000"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_line_and_never_quoted(text: str, words: str) -> None:
    """The message goes to logs, and to whoever reloads."""
    with pytest.raises(ConfigError, match=words) as caught:
        parse_tokens(text, "tokens")

    assert "kkkk" not in f"{caught.value} {caught.value.fix}"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601])
def test_a_file_that_everybody_may_open_is_refused(mode: int) -> None:
    """With the command that mends it."""
    refuse_open_file(0o100640, "tokens")
    with pytest.raises(ConfigError) as caught:
        refuse_open_file(0o100000 | mode, "tokens")

    assert caught.value.fix == "chmod o= tokens"
