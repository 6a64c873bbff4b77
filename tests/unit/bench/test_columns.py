"""Columns and loads are chosen by name."""

from __future__ import annotations

import pytest

from natlb.bench.aims import BARE, PATHS
from natlb.bench.columns import COLUMNS, choose
from natlb.bench.loads import LOADS
from natlb.errors import UsageError


def test_every_path_has_its_bare_forwarder_beside_it() -> None:
    """A limit without what it limits, or the other way round, says nothing."""
    names = [column.name for column in COLUMNS]

    assert [name for name in names if name in PATHS] == list(PATHS)
    assert [name for name in names if name.startswith(BARE)] == [BARE + path for path in PATHS]
    assert len(set(names)) == len(names)


def test_names_are_chosen_in_their_own_order() -> None:
    """The order of rounds is not the user's to get wrong."""
    chosen = choose(COLUMNS, " tun-route ,nft", "--columns")

    assert [each.name for each in chosen] == ["nft", "tun-route"]
    assert choose(LOADS, None, "--loads") == list(LOADS)


@pytest.mark.parametrize(
    ("words", "why"),
    [("haprox", "there is no 'haprox'; did you mean 'haproxy'?"), (",", "no name is given")],
)
def test_a_name_that_is_not_there_is_a_usage_error(words: str, why: str) -> None:
    """With the one that is near, and all there are."""
    with pytest.raises(UsageError, match="--columns") as raised:
        choose(COLUMNS, words, "--columns")

    assert why in raised.value.message
    assert "haproxy" in (raised.value.fix or "")
